"""Shapes that are no digit: those without an edge, and pieces of a pattern.

Clouds, a sky, a lamp's glow, a shadow and a photograph far out of focus have no edge. A stroke's contrast falls to
nothing beside it. Where the light changes softly, the outline is only where a threshold lies, and on both sides of it
the image looks nearly the same.

In a barcode, in stripes, between bricks and in a hatched area, one piece is as good a 1 as any, or many pieces close
together fill a shape. There are too many of a kind.
"""

import numpy as np

from capsnet.preprocessing.connected_components import Components
from capsnet.preprocessing.local_background import quantiles

REACH = 0.12  # of the shape's length, across its outline: about as wide as a stroke
LEAST_REACH = 3  # pixels
ENOUGH = 80  # pixels of the shape's length: of more, every so many rows and columns are looked at
STROKES = 0.75  # quantile of the shape's contrast that its strokes have
LEAST_FALL = 0.5  # of the shape's contrast: digits in photographs lose more, sharp or blurred

SLENDER = 0.4  # of its length, that a bar is wide
AS_LONG = 0.1  # of a bar's length: how far another's may be from it
BARS = 5  # so many equal ones are a pattern; four in a row may be digits
SEGMENTS = 7  # long pieces of a display's digit at most
SEGMENT = 0.1  # of the digit's longer edge, that a long piece is at least long


def is_soft(contrast: np.ndarray, inside: np.ndarray, top: int, left: int) -> bool:
    """Tell whether a shape runs softly into the ground.

    Parameters
    ----------
    contrast
        float32 (H,W) in [0,1].
    inside
        bool (h,w): the pixels of the shape within its bounds.
    top, left
        Place of their first row and column in the image.
    """
    tall, wide = inside.shape
    longest = max(tall, wide)
    reach, grain = max(LEAST_REACH, round(REACH * longest)), max(1, longest // ENOUGH)
    above, before = min(top, reach), min(left, reach)
    area = contrast[top - above : top + tall + reach, left - before : left + wide + reach]
    mask = np.zeros(area.shape, bool)
    mask[above : above + tall, before : before + wide] = inside
    area, mask, reach = area[::grain, ::grain], mask[::grain, ::grain], max(1, reach // grain)
    falls = np.concatenate(
        [
            _falls(turned, inside, reach)
            for turned, inside in (
                (area, mask),
                (area[::-1], mask[::-1]),
                (area.T, mask.T),
                (area.T[::-1], mask.T[::-1]),
            )
        ]
    )
    return bool(len(falls) and np.median(falls) < LEAST_FALL * quantiles(area[mask], STROKES)[0])


def _falls(contrast: np.ndarray, mask: np.ndarray, reach: int) -> np.ndarray:
    """Return how much the contrast falls from each pixel of a mask to the one `reach` rows below that is not: (n,)."""
    leaving = mask[:-reach] & ~mask[reach:]
    return np.asarray((contrast[:-reach] - contrast[reach:])[leaving])


def is_pattern(parts: Components, digit: np.ndarray) -> bool:
    """Tell whether a digit, components bool (N,), is one of many equal bars, or has more pieces than a digit can."""
    length = np.maximum(parts.height, parts.width)
    if (length[digit] >= SEGMENT * max(parts.extent(digit))).sum() > SEGMENTS:
        return True
    slender, upright = parts.slender(SLENDER), parts.height > parts.width
    main = int(np.argmax(np.where(digit, parts.weight, 0)))
    along = slender & (upright == upright[main])
    # The segments of a display are bars too, some upright and some level.
    if not slender[main] or (digit & slender & ~along).any():
        return False
    alike = along & (np.abs(length - length[main]) <= AS_LONG * length[main])
    return int(alike.sum()) >= BARS
