"""Lines that cross the picture and are no part of a digit: cell lines, margins, rails, folds, a table's edge.

A row or a column, straight or a little inclined, that is covered from one edge of the picture to the other belongs to
such a line. Near the edges of the picture a line may also be shorter. A bar in the middle that is as thick as a pen's
stroke is none: it is a 1 in a close crop.
"""

from functools import lru_cache

import numpy as np

from capsnet.preprocessing.connected_components import Components

EDGE = 64  # pixels of the longer edge of the small mask in which lines are sought
STEEPEST, STEP = 0.15, 0.03  # slopes: 9 degrees either way
COVERED = 0.9  # of the picture's width or height, that a line at least covers
COVERED_OUTSIDE = 0.65  # the same where it lies in the outer part of the picture
END = 2  # pixels from the small mask's end, within which a shorter line begins; a 1 ends before them on both sides
OUTER = 0.12  # of the picture's width or height
STROKE = 0.05  # of its length: a bar in the middle that is as thick may be a 1
MOST_LINES = 0.4  # of the picture: what covers more is no line
OWN = 0.8  # of a component's pixels, that lie on lines if it is one
CLOSE, OWN_CLOSE = 0.95, 0.97  # the same for what fills the picture: it may be a digit in a close crop


def line_pixels(mask: np.ndarray) -> np.ndarray | None:
    """Mark the neighbourhood of lines across a mask bool (h,w): bool (h,w); None where there is no line."""
    factor = -(-max(mask.shape) // EDGE)
    small = _reduced(mask, factor)
    lines = _line_pixels(small.T).T | _line_pixels(small)
    if not lines.any() or lines.mean() > MOST_LINES:
        return None
    height, width = mask.shape
    return np.asarray(np.repeat(np.repeat(lines, factor, axis=0), factor, axis=1)[:height, :width])


def parts_of_lines(parts: Components, mask: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Find the components of a mask bool (h,w) that lie on `lines`, bool (h,w): bool (N,)."""
    # The mask's pixels in order are the runs' pixels in order.
    label = np.repeat(parts.label, parts.ends - parts.starts)
    height, width = mask.shape
    close = (parts.height >= CLOSE * height) & (parts.width >= CLOSE * width)
    own = np.where(close, OWN_CLOSE, OWN)
    return np.asarray(np.bincount(label, lines[mask], len(parts)) >= own * parts.pixels)


def _reduced(mask: np.ndarray, factor: int) -> np.ndarray:
    """Join every `factor` x `factor` pixels, those that are set win: bool (h',w')."""
    if factor == 1:
        return mask
    height, width = (-(-edge // factor) * factor for edge in mask.shape)
    padded = np.zeros((height, width), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    rows = np.logical_or.reduce(padded.reshape(height // factor, factor, width), axis=1)
    return np.asarray(np.logical_or.reduce(rows.reshape(len(rows), -1, factor), axis=2))


def _line_pixels(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels of a small mask bool (h,w) that lie on lines from top to bottom: bool (h,w)."""
    height, width = mask.shape
    marked = np.zeros(mask.shape, bool)
    if mask.any(axis=1).mean() < COVERED_OUTSIDE:
        return marked
    rows, columns = np.nonzero(mask)
    shifts = _shifts(height)  # (slopes,h)
    room = int(np.abs(shifts).max()) + 1
    places = columns + room - shifts[:, rows]  # (slopes,n): a line of this slope is one column
    upright = np.zeros((len(shifts), height, width + 2 * room + 1), bool)
    slope = np.arange(len(shifts))[:, None]
    upright[slope, rows, places] = upright[slope, rows, places + 1] = True
    total = upright.view(np.uint8).sum(axis=1, dtype=np.uint8)  # (slopes,w)
    ends = np.asarray(upright[:, :END].any(axis=1) | upright[:, -END:].any(axis=1))
    for number, covered in enumerate(total):
        inside = _chosen(covered / height, ends[number], room, width, height)
        if inside.any():
            own = inside[places[number]] | inside[places[number] + 1]
            marked[rows[own], columns[own]] = True
    return marked


def _chosen(covered: np.ndarray, ends: np.ndarray, room: int, width: int, height: int) -> np.ndarray:
    """Tell which columns belong to lines, by their coverage (w,) and whether they reach an end (w,): bool (w,)."""
    position = (np.arange(len(covered)) - room) / width
    outer = (position < OUTER) | (position > 1 - OUTER)
    chosen = (covered >= COVERED) | (outer & ends & (covered >= COVERED_OUTSIDE))
    change = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    for first, last in zip(change[::2], change[1::2], strict=True):
        middle = (first + last) / 2 - room
        if last - first - 1 > STROKE * height and 0.25 * width < middle < 0.75 * width:
            chosen[first:last] = False
    return np.asarray(chosen)


@lru_cache(maxsize=64)
def _shifts(height: int) -> np.ndarray:
    """How far each slope moves each row sideways, in pixels: int64 (slopes,h)."""
    slopes = np.arange(-STEEPEST, STEEPEST + STEP / 2, STEP)
    return np.round(np.outer(slopes, np.arange(height) - (height - 1) / 2)).astype(np.int64)
