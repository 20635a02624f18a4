"""Show colours as grey where ink is as bright as its ground: the difference of colours with the most contrast."""

import numpy as np

SAMPLED = 4  # every so many rows and columns are enough to know the colours
LEAST_LEVELS = 16.0  # of 255: smaller differences of colour are a camera's noise
MIDDLE, REACH = 128, 60  # the ground's grey, and how far the strokes' lies from it


def colour_contrast(pixels: np.ndarray) -> np.ndarray | None:
    """Show how far each pixel's colour lies from the ground's, however bright it is.

    Parameters
    ----------
    pixels
        uint8 (h,w,3).

    Returns
    -------
    np.ndarray or None
        uint8 (h,w): the ground is grey, strokes are darker or lighter. None where all colours are nearly one.
    """
    sample = pixels[::SAMPLED, ::SAMPLED].reshape(-1, 3).astype(np.float32)
    ground = np.median(sample, axis=0)
    ground /= max(float(np.linalg.norm(ground)), 1.0)
    # Light changes a colour along the line from black through it. The orthogonal part is another colour.
    residual = sample - (sample @ ground)[:, None] * ground
    axis = np.linalg.eigh(residual.T @ residual)[1][:, -1].astype(np.float32)
    axis -= (axis @ ground) * ground
    height: np.ndarray = pixels.astype(np.float32) @ axis
    height -= np.median(height)
    reach = float(np.percentile(np.abs(height), 99.7))
    if reach < LEAST_LEVELS:
        return None
    return np.clip(np.round(MIDDLE + REACH * height / reach), 0, 255).astype(np.uint8)
