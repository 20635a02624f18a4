"""Shapes that are no digit: those without an edge, pieces of a pattern or of something larger, and solid ones.

Clouds, a sky, a lamp's glow, a shadow and a photograph far out of focus have no edge. A stroke's contrast falls to
nothing beside it. Where the light changes softly, the outline is only where a threshold lies, and on both sides of it
the image looks nearly the same.

In a barcode, in stripes, between bricks and in a hatched area, one piece is as good a 1 as any, or many pieces close
together fill a shape. There are too many of a kind.

A coin, a leaf and a heart have no strokes. Where such a shape is wider than the brush that finds the ground, only the
parts that stick out of a square are left. Beyond their straight sides the image goes on as they are.
"""

from collections.abc import Sequence

import numpy as np

from capsnet.preprocessing.connected_components import Components
from capsnet.preprocessing.local_background import quantiles, running_extremum, stroke_width

REACH = 0.12  # of the shape's length, across its outline: about as wide as a stroke
LEAST_REACH = 3  # pixels
ENOUGH = 80  # pixels of the shape's length: of more, every so many rows and columns are looked at
STROKES = 0.75  # quantile of the shape's contrast that its strokes have
LEAST_FALL = 0.5  # of the shape's contrast: digits in photographs lose more, sharp or blurred

REACHES = 3  # of equal lengths, beyond the outline: a shadow beside a stroke may be as dark as it
USUAL = 0.75  # quantile of the outline's steps that its strokes have
FLAT = 0.2  # of the usual step: less is none
SEAM = 0.3  # of the outline: digits in photographs have no step along 0.1 of it at most

FEW = 40  # pixels of the shape's length are enough to know how large a disc fits into it
WIDEST, LARGEST = (
    0.25,
    0.45,
)  # of its length: the mean width of strokes, and the diameter of a disc inside them

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
    area, mask, reach = _surroundings(contrast, inside, top, left)
    falls = _falls(area, mask, [reach])
    return bool(len(falls) and np.median(falls) < LEAST_FALL * quantiles(area[mask], STROKES)[0])


def lacks_strokes(inside: np.ndarray, top: int, left: int, grey: np.ndarray | None) -> bool:
    """Tell whether a shape is solid, or a part of something larger where the image `grey` is given; as of `is_part`."""
    return is_solid(inside) or (grey is not None and is_part(grey, inside, top, left))


def is_part(grey: np.ndarray, inside: np.ndarray, top: int, left: int) -> bool:
    """Tell whether the image goes on as a shape is beyond much of its outline.

    Parameters
    ----------
    grey
        uint8 (H,W).
    inside, top, left
        As of `is_soft`.
    """
    area, mask, reach = _surroundings(grey, inside, top, left)
    (tall, wide), (height, width) = inside.shape, grey.shape
    away = round(REACH * max(tall, wide))
    cut = top <= away or left <= away or top + tall + away >= height or left + wide + away >= width
    if cut and min(tall, wide) < SLENDER * max(tall, wide):
        return False  # a 1 that the image's edge cuts goes on there, as far as is known
    values = area.astype(np.int16)
    if _falls(values, mask, [reach]).sum() < 0:
        values = -values
    steps = _falls(values, mask, [-(-reach * number // REACHES) for number in range(1, REACHES + 1)])
    return bool(len(steps) and (steps < FLAT * quantiles(steps, USUAL)[0]).mean() > SEAM)


def is_solid(inside: np.ndarray) -> bool:
    """Tell whether a shape bool (h,w) is no stroke: it is wide all over, and a large disc fits into it."""
    longest = max(inside.shape)
    if stroke_width(inside) < WIDEST * longest:
        return False
    grain = max(1, longest // FEW)
    mask = np.pad(inside[::grain, ::grain], 1)
    rim = ~mask & (running_extremum(running_extremum(np.pad(mask, 1), 3, 0, np.maximum), 3, 1, np.maximum))
    apart = np.square(np.argwhere(mask)[:, None] - np.argwhere(rim)).sum(axis=2).min(axis=1)
    return bool(2 * np.sqrt(apart.max()) - 1 > LARGEST * longest / grain)


def _surroundings(
    values: np.ndarray, inside: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Cut out a shape and what lies around it: the values, the shape bool, both (h,w), and how far is across."""
    tall, wide = inside.shape
    longest = max(tall, wide)
    reach, grain = max(LEAST_REACH, round(REACH * longest)), max(1, longest // ENOUGH)
    above, before = min(top, reach), min(left, reach)
    area = values[top - above : top + tall + reach, left - before : left + wide + reach]
    mask = np.zeros(area.shape, bool)
    mask[above : above + tall, before : before + wide] = inside
    return area[::grain, ::grain], mask[::grain, ::grain], max(1, reach // grain)


def _falls(values: np.ndarray, mask: np.ndarray, reaches: Sequence[int]) -> np.ndarray:
    """Return how far values fall at most from each pixel of a mask to those at some distances beyond it: (n,).

    Parameters
    ----------
    values, mask
        Both (h,w).
    reaches
        Distances in rows or columns, the largest last. It leads out of the mask.
    """
    last, falls = reaches[-1], []
    for seen, inside in (
        (values, mask),
        (values[::-1], mask[::-1]),
        (values.T, mask.T),
        (values.T[::-1], mask.T[::-1]),
    ):
        leaving = inside[:-last] & ~inside[last:]
        own, least = seen[:-last][leaving], seen[last:][leaving]
        for reach in reaches[:-1]:
            least = np.minimum(least, seen[reach : reach - last][leaving])
        falls.append(own - least)
    return np.concatenate(falls)


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
