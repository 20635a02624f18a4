"""What stands out from its ground: ink from paper, chalk from a board, a garment from a wall.

The light on paper is never even, so the ground is a smooth surface fitted to the image, and a stroke is measured
against the ground where it lies.
"""

import numpy as np
from PIL import Image

from capsnet.preprocessing import image_file

SAMPLES_EDGE = 64  # longer edge of the image that the ground is fitted to: it is smooth, so few samples do
NOISE_LEVELS = 3.0  # standard deviations from the ground that are still ground
LEAST_CONTRAST = 0.05  # of the ground's own brightness; fainter differences are no drawing
LEAST_LEVELS = 4.0  # of 255: how far the ground's pixels may differ in an image without any noise
MOST_SPREAD = (
    16.0  # of 255: no camera is noisier; what differs more is the drawing, in an image with little ground
)
DEVIATION = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
REWEIGHTINGS = 12
REFINEMENTS = 3


def contrast_to_ground(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Return how far each pixel stands out from the ground, whichever way the drawing does.

    Parameters
    ----------
    grey
        uint8 (h,w).

    Returns
    -------
    contrast : np.ndarray
        float32 (h,w): 0 on the ground, up to 1; light comes from the ratio to the ground, so that a stroke counts as
        much in the shade as in the light.
    noise : float
        Standard deviation of the ground's own contrast.
    """
    ground, spread = estimate_ground(grey)
    above = grey - ground
    if _energy(-above, spread) >= _energy(above, spread):
        height, most = -above, np.maximum(ground, 1)  # ink on paper: at most as dark as the paper is light
    else:
        height, most = above, np.maximum(255 - ground, 1)
    return np.clip(height / most, 0, 1), spread / float(np.median(most))


def _energy(height: np.ndarray, spread: float) -> float:
    """Return the sum of squares above the noise: what tells ink on paper from chalk on a board."""
    ink = height[height > max(NOISE_LEVELS * spread, LEAST_LEVELS)]
    return float(np.dot(ink, ink))


def estimate_ground(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a smooth surface (second degree) to the ground: first to the image's border, then to all that agrees.

    Returns
    -------
    ground : np.ndarray
        float32 (h,w), within 0 to 255.
    spread : float
        Standard deviation of the ground's pixels around it.
    """
    small = np.asarray(image_file.shrink(Image.fromarray(grey), SAMPLES_EDGE), np.float32)
    terms, values = _surface_terms(*small.shape), small.ravel()
    border = np.zeros(small.shape, bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    plane = _least_absolute(terms[border.ravel(), :3], values[border.ravel()])
    residual = np.abs(values - terms[:, :3] @ plane)
    spread = DEVIATION * float(np.median(residual[border.ravel()]))
    for _ in range(REFINEMENTS):
        keep = residual <= max(NOISE_LEVELS * spread, LEAST_LEVELS)
        weights = np.linalg.lstsq(terms[keep], values[keep], rcond=None)[0]
        residual = np.abs(values - terms @ weights)
        spread = DEVIATION * float(np.median(residual[keep]))
    ground = np.clip(_surface_terms(*grey.shape) @ weights, 0, 255).reshape(grey.shape)
    # The small image's pixels are means and have less noise than those of the image itself.
    cells = Image.fromarray(keep.reshape(small.shape)).resize(grey.shape[::-1], Image.Resampling.NEAREST)
    spread = DEVIATION * float(np.median(np.abs(grey - ground)[np.asarray(cells)]))
    return ground, min(spread, MOST_SPREAD)


def _least_absolute(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fit weights by least absolute errors, with reweighting: what crosses the border does not bend the fit."""
    importance = np.ones(len(values), np.float32)
    for _ in range(REWEIGHTINGS):
        weights = np.linalg.lstsq(terms * importance[:, None], values * importance, rcond=None)[0]
        importance = 1 / np.sqrt(np.maximum(np.abs(values - terms @ weights), 1.0))
    return weights


def _surface_terms(height: int, width: int) -> np.ndarray:
    """Return the terms 1, x, y, x^2, xy, y^2 at every pixel, x and y in [-1,1]: float32 (height*width, 6)."""
    y, x = np.meshgrid(
        np.linspace(-1, 1, height, dtype=np.float32),
        np.linspace(-1, 1, width, dtype=np.float32),
        indexing="ij",
    )
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
