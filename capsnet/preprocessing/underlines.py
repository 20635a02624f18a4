"""Clear an underline that touches a digit: a straight level line below it that stands out on both sides.

The base of a 2 stands out on one side, or bends. Underlines that touch nothing are left out with other stray marks.
"""

import numpy as np

from capsnet.preprocessing.up_strokes import straight_line

INK = 0.6  # least value of a pixel of a stroke: a fold or a faint edge below a stroke is no underline
FREE = 0.2  # of the height, that an underline stands out on each side
END = 2  # pixels from an end, where the line is as thick as elsewhere
STEEPEST = 0.2  # slope of the line, either way
STRAIGHT = 0.03  # of the height, by which the line's edges miss a straight line at most
ABOVE = 0.5  # of the height, that the digit has above the line


def find_underline(digit: np.ndarray) -> np.ndarray | None:
    """Find a line below a digit float (h,w) in [0,1]: the row (w,) of its upper edge; None without one."""
    height, width = digit.shape
    ink = digit > INK
    free, off = round(FREE * height), STRAIGHT * height
    if free <= END + 1 or width <= 2 * free:
        return None
    columns = np.arange(width)
    sides = np.concatenate([columns[END:free], columns[-free:-END]])
    if ink[: height // 2, sides].any() or not ink.any(axis=0).all():
        return None
    top = _edge(ink.argmax(axis=0), sides, off)
    bottom = _edge(height - 1 - ink[::-1].argmax(axis=0), columns[END:-END], off)
    if top is None or bottom is None or abs(top[-1] - top[0]) > STEEPEST * width:
        return None
    above = ink & (np.arange(height)[:, None] < top - off)
    stands_out = not above[:, :free].any() and not above[:, -free:].any()
    return top if stands_out and above.any(axis=1).sum() >= ABOVE * height else None


def clear_below(digit: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Clear a digit float32 (h,w) from a line on: its rows `top` (n,), in shares of the height, from side to side."""
    height, width = digit.shape
    row = height * np.interp((np.arange(width) + 0.5) / width, (np.arange(len(top)) + 0.5) / len(top), top)
    return np.where(np.arange(height)[:, None] + 1 < row, digit, np.float32(0))


def _edge(first: np.ndarray, judged: np.ndarray, off: float) -> np.ndarray | None:
    """Return the rows (w,) of a straight line through the first ink (w,) of each column; None where some miss it."""
    slope, start = straight_line(judged, first[judged])
    rows = slope * np.arange(len(first)) + start
    return rows if np.abs(first - rows)[judged].max() <= off else None
