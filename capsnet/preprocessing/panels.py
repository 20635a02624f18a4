"""A board or a sheet of paper within a surround of the opposite brightness: where it lies, so that only it is read."""

import numpy as np
from PIL import Image

from capsnet.preprocessing.connected_components import Components, find_components

EDGE = 120  # pixels of the longer edge of the small image in which a panel is sought
SHORT = 72  # pixels of its shorter edge, at least: a line of digits on a board is low
LEAST_RANGE = 60  # of 255: brightness of the surround and of a panel differ by more
UNLIKE = 0.4  # of the image's range, by which a panel differs from the surround
LEAST_AREA = 0.008  # of the image
SQUARE = 0.85  # of its extent, that a panel with all in it covers
MOST_HOLES = 0.4  # of the panel: a digit covers less of it
LEAST_HOLES = 0.01
RIM = 2  # small pixels: the panel's blurred edge


def find_panel(grey: np.ndarray) -> tuple[slice, slice] | None:
    """Find the largest panel with something on it, in an image uint8 (h,w): its rows and columns; None without one."""
    factor = max(1, min(-(-max(grey.shape) // EDGE), min(grey.shape) // SHORT))
    small = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    span = int(small.max()) - int(small.min())
    if span < LEAST_RANGE:
        return None
    border = np.sort(np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]]))
    middle = (int(border[(len(border) - 1) // 2]) + int(border[len(border) // 2])) // 2
    mask = np.abs(small.astype(np.int16) - middle) > UNLIKE * span
    if mask.mean() < LEAST_AREA:
        return None
    parts = find_components(mask, np.ones(mask.shape, np.float32))
    area = parts.height * parts.width
    height, width = mask.shape
    inner = (parts.top > 0) & (parts.left > 0) & (parts.bottom < height) & (parts.right < width)
    solid = inner & (parts.pixels >= (SQUARE - MOST_HOLES) * area) & (area > LEAST_AREA * mask.size)
    for number in np.flatnonzero(solid)[np.argsort(-area[solid])]:
        if _is_panel(parts, int(number)):
            rows = slice(factor * (parts.top[number] + RIM), factor * (parts.bottom[number] - RIM))
            columns = slice(factor * (parts.left[number] + RIM), factor * (parts.right[number] - RIM))
            return rows, columns
    return None


def _is_panel(parts: Components, number: int) -> bool:
    """Tell whether a component is a rectangle around holes that are as large as a digit."""
    rows, columns = parts.window(number)
    own = parts.mask(np.arange(len(parts)) == number)[rows, columns]
    if min(own.shape) < 4 * RIM:
        return False
    bare = np.pad(~own, 1, constant_values=True)
    regions = find_components(bare, np.ones(bare.shape, np.float32))
    holes = int(regions.pixels[regions.top > 0].sum())
    return bool(
        own.sum() + holes >= SQUARE * own.size and LEAST_HOLES * own.size < holes < MOST_HOLES * own.size
    )
