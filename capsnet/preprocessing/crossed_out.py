"""Tell a digit that was crossed out: level lines from side to side of it that stand out on both sides.

A digit's own level strokes end at other strokes: the bar of a 4 or of a 7 has ink above or below it at an end.
"""

import numpy as np

STEEPEST = 0.4  # slope of a line, either way
INK = 0.35  # least value of a pixel of a stroke
FULL = 0.97  # of a line's pixels, that have ink
MIDDLE = 0.2  # of the height at top and bottom, where no line begins
BESIDE = 1.5 / 40  # of the height: ink as near to a line is the line's
FREE = 0.125  # of the height, that a line stands out on each side
END = 2  # pixels from a line's end, where it is as thick as elsewhere
MOST_ENDS = 0.5  # of the pixels on a side, that have ink: the ends of two lines
ACROSS = 0.25  # of the height, on which there is other ink above the lines, and below them


def is_crossed_out(digit: np.ndarray) -> bool:
    """Tell whether level lines go through a digit float (h,w) in [0,1] and stand out on both sides."""
    height, width = digit.shape
    ink = digit > INK
    free = round(FREE * height)
    if width <= 2 * free or not _ends_alone(ink[:, :free]) or not _ends_alone(ink[:, -free:]):
        return False
    lines = _lines(ink)  # (n,w)
    if not len(lines):
        return False
    row = np.arange(height)[:, None]
    distance = np.abs(row[:, :, None] - lines.T).min(axis=2)  # (h,w)
    other = ink & (distance > BESIDE * height)
    if other[:, :free].any() or other[:, -free:].any():
        return False
    above = (other & (row < lines.min(axis=0))).any(axis=1).sum()
    below = (other & (row > lines.max(axis=0))).any(axis=1).sum()
    return bool(min(above, below) >= ACROSS * height)


def _ends_alone(side: np.ndarray) -> bool:
    """Tell whether the outermost columns bool (h,n) hold as little ink as the ends of two lines do."""
    return bool(0 < side.sum() <= MOST_ENDS * side.size)


def _lines(ink: np.ndarray) -> np.ndarray:
    """Return the rows of each straight line that ink bool (h,w) fills from side to side: float (n,w)."""
    height, width = ink.shape
    if width <= 1 + 2 * END:
        return np.empty((0, width))
    # The ends are round, so their ink is as thick as the line a little farther in.
    first, last = np.flatnonzero(ink[:, END]), np.flatnonzero(ink[:, -1 - END])
    start, end = np.repeat(first, len(last)), np.tile(last, len(first))
    middle = (start + end) / 2
    fit = np.abs(end - start) <= STEEPEST * width
    fit &= (np.minimum(start, end) > END) & (np.maximum(start, end) < height - 1 - END)
    fit &= (middle > MIDDLE * height) & (middle < (1 - MIDDLE) * height)
    columns = np.arange(width)
    rows = start[fit, None] + (end - start)[fit, None] * ((columns - END) / (width - 1 - 2 * END))
    return np.asarray(
        rows[ink[np.clip(np.round(rows).astype(int), 0, height - 1), columns].mean(axis=1) >= FULL]
    )
