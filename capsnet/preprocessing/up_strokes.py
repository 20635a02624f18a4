"""Shorten the long up-stroke of a 1, which a network of American digits takes for the bar of a 7.

A 1 is a straight stem with one straight stroke that falls to the left from its very top. The bar of a 7 lies flatter,
and a hook at its end, a loop or a second stroke makes another digit.
"""

import numpy as np

INK = 0.5  # least value of a pixel of a stroke
LEAST_HEIGHT = 24  # pixels, in which angles can be told
TALL = 0.9  # of the canvas, that a 1 is high
STEM = (0.6, 0.85)  # of the height, between which the stem is alone; below it may have a foot
STRAIGHT, STRAIGHT_UP = 0.03, 0.045  # of the height, by which the stem and the up-stroke differ from a line
EVEN = 1.6  # usual widths, that the stem is wide at most
LEAN = 0.33  # columns for each row, that the stem leans to the left at its foot, at most
STEEP = 63.0  # degrees from the vertical, that the up-stroke has at most
REACH = 0.12  # of the height, that the up-stroke is at least wide
PEAK = 1.0  # widths of the stem, by which the two may miss each other at the top
HEAVY = 1.7  # widths of the stem, that the up-stroke is thick at most
RIGHT = 5.0  # widths of the stem, in pixels, of ink to its right at most
KEPT = 0.08  # of the height: how wide the up-stroke is left


def shorten_up_stroke(digit: np.ndarray) -> np.ndarray | None:
    """Cut off a long up-stroke of a 1, float32 (h,w) in [0,1], as high as its canvas; None where there is none."""
    height, width = digit.shape
    if height < LEAST_HEIGHT or width > height:
        return None
    ink = digit > INK
    rows = np.arange(int(STEM[0] * height), int(STEM[1] * height))
    low = ink[rows]
    count = low.sum(axis=1)
    left, right = low.argmax(axis=1), width - low[:, ::-1].argmax(axis=1)
    usual = float(np.median(count))
    if count.min() < 1 or (count != right - left).any() or count.max() >= EVEN * usual:
        return None
    middle = (left + right - 1) / 2
    lean, start = straight_line(rows, middle)
    if lean < -LEAN or np.abs(middle - (lean * rows + start)).max() >= STRAIGHT * height:
        return None
    # Each row is moved so that the stem's middle lies in column `width`.
    shift = np.round(width - (lean * np.arange(height) + start)).astype(int)
    y, x = np.nonzero(ink[: rows[-1] + 1])
    moved = x + shift[y]
    inside = (moved >= 0) & (moved <= 2 * width)
    upright = np.zeros((height, 2 * width + 1), bool)
    upright[y[inside], moved[inside]] = True
    columns = _up_stroke(upright, width, usual, lean)
    if columns is None:
        return None
    cut = np.arange(width) + shift[:, None] < columns - KEPT * height  # (h,w)
    cut[rows[-1] + 1 :] = False
    return np.where(cut, np.float32(0), digit)


def _up_stroke(upright: np.ndarray, stem: int, usual: float, lean: float) -> int | None:
    """Find the column where an up-stroke ends beside a stem of a usual width at column `stem`; None without one."""
    height = len(upright)
    top = int(np.argmax(upright[:, stem - 1 : stem + 2].any(axis=1)))
    side = stem - int(np.ceil(usual / 2))
    filled = np.flatnonzero(upright[:, : side - 1].any(axis=0))
    if top >= (1 - TALL) * height / 2 or not len(filled):
        return None
    if upright[:, 2 * stem - side + 2 :].sum() >= RIGHT * usual or side - filled[0] <= REACH * height:
        return None
    part = upright[:, filled[0] : side]
    count = part.sum(axis=0)
    first, last = part.argmax(axis=0), height - 1 - part[::-1].argmax(axis=0)
    if (count != last - first + 1).any():
        return None
    columns, middle = np.arange(filled[0] + 1, side), (first + last)[1:] / 2
    slope, start = straight_line(columns, middle)
    if slope >= 0 or np.abs(middle - (slope * columns + start)).max() >= STRAIGHT_UP * height:
        return None
    angle = np.degrees(np.arctan(-(1 / slope + lean)))
    meets = abs(slope * stem + start - top) < PEAK * usual
    thin = np.median(count) < HEAVY * usual * np.hypot(1, slope)
    return side if 0 < angle < STEEP and meets and thin else None


def straight_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope and start of the straight line nearest to points (n,), in least squares."""
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    return slope, float(y.mean() - slope * x.mean())
