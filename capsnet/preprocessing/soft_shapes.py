"""Shapes without an edge: clouds, a sky, a lamp's glow, a shadow, a photograph far out of focus.

A stroke's contrast falls to nothing beside it. Where the light changes softly, the outline is only where a threshold
lies, and on both sides of it the image looks nearly the same.
"""

import numpy as np

REACH = 0.12  # of the shape's length, across its outline: about as wide as a stroke
LEAST_REACH = 3  # pixels
ENOUGH = 80  # pixels of the shape's length: of more, every so many rows and columns are looked at
LEAST_FALL = 0.5  # of the shape's contrast: digits in photographs lose more, sharp or blurred


def is_soft(contrast: np.ndarray, mask: np.ndarray, level: float) -> bool:
    """Tell whether a shape runs softly into the ground.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1].
    mask
        bool (h,w): the pixels of the shape.
    level
        The contrast of its strokes.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    longest = int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
    reach, grain = max(LEAST_REACH, round(REACH * longest)), max(1, longest // ENOUGH)
    box = tuple(
        slice(max(0, int(found[0]) - reach), int(found[-1]) + reach + 1, grain) for found in (rows, columns)
    )
    contrast, mask, reach = contrast[box], mask[box], max(1, reach // grain)
    falls = np.concatenate(
        [
            _falls(turned, inside, reach)
            for turned, inside in (
                (contrast, mask),
                (contrast[::-1], mask[::-1]),
                (contrast.T, mask.T),
                (contrast.T[::-1], mask.T[::-1]),
            )
        ]
    )
    return bool(len(falls) and np.median(falls) < LEAST_FALL * level)


def _falls(contrast: np.ndarray, mask: np.ndarray, reach: int) -> np.ndarray:
    """Return how much the contrast falls from each pixel of a mask to the one `reach` rows below that is not: (n,)."""
    leaving = mask[:-reach] & ~mask[reach:]
    return np.asarray((contrast[:-reach] - contrast[reach:])[leaving])
