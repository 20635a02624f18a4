"""Make noise at any scale: of paper, wood, wiped boards and cameras."""

import numpy as np
from PIL import Image


def noise(size: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise of mean 0 and deviation 1: float32 (h,w).

    Parameters
    ----------
    size
        Width and height.
    cell
        Pixels from one independent value to the next.
    """
    width, height = size
    small = (max(2, round(width / cell) + 1), max(2, round(height / cell) + 1))
    values = rng.normal(size=small[::-1]).astype(np.float32)
    if cell <= 1:
        return np.resize(values, (height, width))
    smooth = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
    return smooth / max(float(smooth.std()), 1e-6)


def stretched(size: tuple[int, int], along: float, across: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise longer in x than in y, such as the grain of wood: float32 (h,w)."""
    small = (max(2, round(size[0] / along)), max(2, round(size[1] / across)))
    values = rng.normal(size=small[::-1]).astype(np.float32)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
