"""Printed cells of a form: the straight sides of a frame, and the lines between the cells of a row.

A frame is a component whose outline is straight on all four sides. Seen from outside, a side is the first ink in each
row or column, so the writing in a cell cannot hide it. A stroke that touches a line keeps the ink that both share.
"""

from typing import NamedTuple

import numpy as np

from capsnet.preprocessing.connected_components import find_components
from capsnet.preprocessing.local_background import running_extremum

STRAIGHT = 1.5  # pixels that a printed side is off its line at most
COVERED = 0.75  # of a side, that is as straight
BETWEEN = 0.93  # of the height, that a line between two cells covers
THICKEST = 0.08  # of the shorter edge: thicker sides are written
HATCHED = 0.3  # of the frame, that its standing lines cover: cells are wider
BESIDE = 2  # pixels on either side of a line, that its blurred edge covers
LEAST_STROKE = 0.3  # of a piece that is left, that lies beside the lines; the rest of a line has less


class Side(NamedTuple):
    """A straight side: its place (n,) along the other axis at each of n steps, and its thickness in pixels."""

    places: np.ndarray
    thickness: float


def cell_lines(own: np.ndarray) -> np.ndarray | None:
    """Return the pixels of a component bool (h,w) that are lines of cells and no strokes; None where it is no frame."""
    sides = _sides(own)
    if sides is None:
        return None
    lying, standing = np.zeros(own.shape, bool), np.zeros(own.shape, bool)
    for view, side in zip((lying, lying[::-1], standing.T, standing.T[::-1]), sides, strict=True):
        depth = np.arange(len(view))[:, None] - side.places
        view |= (depth > -BESIDE) & (depth < side.thickness + BESIDE)
    _mark_between(own, sides, standing)
    if standing.mean() > HATCHED:
        return None
    strokes = own & ~lying & ~standing
    reach = round(max(side.thickness for side in sides)) + 2 * BESIDE
    shared = lying & _near(strokes.T, reach).T | standing & _near(strokes, reach)
    kept = own & (strokes | shared)
    parts = find_components(kept, kept.astype(np.float32))
    label = np.repeat(parts.label, parts.ends - parts.starts)
    written = np.bincount(label, strokes[kept], len(parts)) >= LEAST_STROKE * parts.pixels
    return np.asarray(own & ~parts.mask(written))


def _sides(own: np.ndarray) -> tuple[Side, Side, Side, Side] | None:
    """Return the sides: top, bottom, left and right; None where one is not straight or not thin."""
    height, width = own.shape
    top, bottom = _side(own, slice(0, width)), _side(own[::-1], slice(0, width))
    if top is None or bottom is None:
        return None
    # A row of cells that slopes is not as high as its bounds.
    at_left, at_right = (
        slice(max(0, round(top.places[end])), height - max(0, round(bottom.places[end]))) for end in (0, -1)
    )
    left, right = _side(own.T, at_left), _side(own.T[::-1], at_right)
    if left is None or right is None:
        return None
    thickest = max(side.thickness for side in (top, bottom, left, right))
    return (top, bottom, left, right) if thickest <= THICKEST * min(height, width) else None


def _side(own: np.ndarray, reach: slice) -> Side | None:
    """Return the straight side along the first row of a component bool (h,w), judged by the columns within `reach`.

    None where its outline is not straight.
    """
    height, width = own.shape
    own, columns = own[:, reach], np.arange(width)[reach]
    half = len(columns) // 2
    if not half:
        return None
    first = np.where(own.any(axis=0), own.argmax(axis=0), height).astype(float)
    places = np.median(first[half : 2 * half] - first[:half]) / half * columns
    places += np.median(first - places)
    for off in (2 * STRAIGHT, STRAIGHT):
        near = np.abs(first - places) <= off
        if near.mean() < COVERED:
            return None
        line = np.polyfit(columns[near], first[near], 1)
        places = np.polyval(line, columns)
    bare = ~own[:, near] & (np.arange(height)[:, None] > first[near])
    ends = np.where(bare.any(axis=0), bare.argmax(axis=0), height)
    return Side(np.polyval(line, np.arange(width)), float(np.median(ends - first[near])))


def _mark_between(own: np.ndarray, sides: tuple[Side, Side, Side, Side], marked: np.ndarray) -> None:
    """Mark the pixels of lines that stand between the left and the right side."""
    height, width = own.shape
    top, bottom, left, right = sides
    inner = slice(max(0, round(top.places.max())), height - max(0, round(bottom.places.max())))
    if inner.start >= inner.stop:
        return
    begins, ends = left.places[:, None], width - 1 - right.places[:, None]
    # Each column of `places` leads from the top to the bottom, between the left side and the right one.
    places = np.round(begins + (ends - begins) * (np.arange(width) / width)).astype(int).clip(1, width - 2)
    rows = np.arange(height)[:, None]
    covered = own[rows, places - 1] | own[rows, places] | own[rows, places + 1]
    steps = np.diff(covered[inner].mean(axis=0) > BETWEEN, prepend=False, append=False)
    for first, last in np.flatnonzero(steps).reshape(-1, 2).tolist():
        columns = np.arange(first - 1, last + 1).clip(0, width - 1)
        marked[rows, places[:, columns]] = True


def _near(strokes: np.ndarray, reach: int) -> np.ndarray:
    """Tell which pixels bool (h,w) have strokes at most `reach` pixels to the left or to the right."""
    return running_extremum(np.pad(strokes, ((0, 0), (reach, reach))), 2 * reach + 1, 1, np.maximum)
