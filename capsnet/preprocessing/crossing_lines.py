"""Lines that cross the image and are no part of a digit: cell lines, margins, rails, folds, a table's edge.

A row or a column, straight or a little inclined, that is covered from one edge of the image to the other belongs to
such a line. Near the edges of the image a line may also be shorter. A bar as thick as a pen's stroke is none if it
lies in the middle or ends before an edge: it is a 1. What runs along two neighbouring sides of the image and leaves
the rest of it empty is a table or a sheet. Where paper grows lighter towards a table, its last strip stands out from
the paper beside it, but far less than from the table.
"""

from functools import lru_cache

import numpy as np

from capsnet.preprocessing.connected_components import Components

EDGE = 64  # pixels of the longer edge of the small mask in which lines are sought
STEEPEST, STEP = 0.15, 0.03  # slopes: 9 degrees either way
COVERED = 0.9  # of the image's width or height, that a line at least covers
COVERED_OUTSIDE = 0.65  # the same where it lies in the outer part of the image
END = 0.03  # of the image's width or height, within which a line begins at one end at least
OUTER = 0.12  # of the image's width or height
INNER = 0.15  # of the image's width or height at each side, within which a thick line that ends is no 1
STROKE = 0.05  # of its length: a bar in the middle that is as thick may be a 1
MOST_LINES = 0.4  # of the image: what covers more is no line
SQUARED = 0.12  # of the image, that lines either way cover on squared paper: they are ruled lines
OWN = 0.8  # of a component's pixels, that lie on lines if it is one
CLOSE, OWN_CLOSE = 0.95, 0.97  # the same for what fills the image: it may be a digit in a close crop
ANGLE = 0.5  # of the image's height and width, that the two edges of a table or a sheet at least run along
EMPTY = 0.6  # of their extent, that an empty rectangle in one of its corners takes: of fewer than 1 % of the sevens
GRAIN = 2  # every so many rows and columns are enough to know that
STRIP = 0.9  # of the image's height, that a strip along a step is high
SLENDER = 0.4  # of its height, that it is wide at most
STEP_OVER = 2.0  # times what the strip differs from the nearer ground, that the two grounds differ


def line_pixels(mask: np.ndarray) -> np.ndarray | None:
    """Mark the neighbourhood of lines across a mask bool (h,w): bool (h,w); None where there is no line."""
    factor = -(-max(mask.shape) // EDGE)
    small = reduced(mask, factor, factor)
    if not (_line_pixels(small.T).any() or _line_pixels(small).any()):
        return None
    # Beside a line, another is no 1 either.
    level, upright = _line_pixels(small.T, ones=False).T, _line_pixels(small, ones=False)
    lines = level | upright
    if lines.mean() > MOST_LINES or min(level.mean(), upright.mean()) > SQUARED:
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


def parts_of_angles(parts: Components) -> np.ndarray:
    """Find the components that run along two neighbouring sides of the image and leave the rest empty: bool (N,)."""
    height, width = parts.shape
    found = ((parts.top == 0) | (parts.bottom == height)) & ((parts.left == 0) | (parts.right == width))
    found &= (parts.height >= ANGLE * height) & (parts.width >= ANGLE * width)
    for number in np.flatnonzero(found):
        own = parts.mask(np.arange(len(parts)) == number)[parts.window(int(number))][::GRAIN, ::GRAIN]
        found[number] = _empty_corner(own) >= EMPTY
    return np.asarray(found)


def is_along_step(grey: np.ndarray, mask: np.ndarray) -> bool:
    """Tell whether pixels bool (h,w) are a strip between two grounds that differ more than it does: uint8 (h,w)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    if tall < STRIP * len(mask) or wide > SLENDER * tall:
        return False
    left = grey[rows[0] : rows[-1] + 1, max(0, columns[0] - wide) : columns[0]]
    right = grey[rows[0] : rows[-1] + 1, columns[-1] + 1 : columns[-1] + 1 + wide]
    if not (left.size and right.size):
        return False
    sides = np.array([np.median(left), np.median(right)])
    return bool(np.ptp(sides) > STEP_OVER * np.abs(sides - np.median(grey[mask])).min())


def _empty_corner(mask: np.ndarray) -> float:
    """Return the share of a mask bool (h,w) of the largest empty rectangle in one of its corners."""
    largest = 0
    for turned in (mask, mask[::-1], mask[:, ::-1], mask[::-1, ::-1]):
        # Each row's first ink, or that of a row before it, bounds the rectangle that ends with this row.
        first = np.where(turned.any(axis=1), turned.argmax(axis=1), turned.shape[1])
        sizes = np.minimum.accumulate(first) * np.arange(1, len(first) + 1)
        largest = max(largest, int(sizes.max()))
    return largest / mask.size


def reduced(mask: np.ndarray, down: int, across: int) -> np.ndarray:
    """Join every `down` x `across` pixels, those that are set win: bool (h',w')."""
    if down == across == 1:
        return mask
    height, width = -(-mask.shape[0] // down) * down, -(-mask.shape[1] // across) * across
    padded = np.zeros((height, width), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    rows = np.logical_or.reduce(padded.reshape(height // down, down, width), axis=1)
    return np.asarray(np.logical_or.reduce(rows.reshape(len(rows), -1, across), axis=2))


def _line_pixels(mask: np.ndarray, *, ones: bool = True) -> np.ndarray:
    """Mark the pixels of a small mask bool (h,w) that lie on lines from top to bottom: bool (h,w).

    `ones` says whether a thick line that ends before an edge may be a 1.
    """
    height, width = mask.shape
    marked = np.zeros(mask.shape, bool)
    if mask.any(axis=1).mean() < COVERED_OUTSIDE:
        return marked
    rows, columns = np.nonzero(mask)
    shifts = _shifts(height)  # (slopes,h)
    padding = int(np.abs(shifts).max()) + 1
    places = columns + padding - shifts[:, rows]  # (slopes,n): a line of this slope is one column
    upright = np.zeros((len(shifts), height, width + 2 * padding + 1), bool)
    slope = np.arange(len(shifts))[:, None]
    upright[slope, rows, places] = upright[slope, rows, places + 1] = True
    total = upright.view(np.uint8).sum(axis=1, dtype=np.uint8)  # (slopes,w)
    end = max(1, round(END * height))
    ends = np.asarray(
        upright[:, :end].any(axis=1).view(np.uint8) + upright[:, -end:].any(axis=1)
    )  # (slopes,w)
    for number, covered in enumerate(total):
        reached = ends[number] if ones else np.minimum(2 * ends[number], 2)
        inside = _chosen(covered / height, reached, padding, width, height)
        if inside.any():
            own = inside[places[number]] | inside[places[number] + 1]
            marked[rows[own], columns[own]] = True
    return marked


def _chosen(covered: np.ndarray, ends: np.ndarray, padding: int, width: int, height: int) -> np.ndarray:
    """Tell which columns belong to lines, by their coverage (w,) and how many ends they reach (w,): bool (w,)."""
    position = (np.arange(len(covered)) - padding) / width
    outer = (position < OUTER) | (position > 1 - OUTER)
    # What reaches neither edge may be a 1 that fills the image, but not beside an edge.
    chosen = (covered >= COVERED) & (outer | (ends > 0))
    chosen |= outer & (ends > 0) & (covered >= COVERED_OUTSIDE)
    if not chosen.any():
        return np.asarray(chosen)
    change = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    for first, last in zip(change[::2], change[1::2], strict=True):
        middle = (first + last) / 2 - padding
        # A 1 that touches one edge of the image ends before the other; near the sides, a rail may end as well.
        one = 0 < ends[first:last].max() < 2 and INNER * width < middle < (1 - INNER) * width
        one = one and _thickness(covered, first, last) > STROKE * height
        if one or (last - first - 1 > STROKE * height and 0.25 * width < middle < 0.75 * width):
            chosen[first:last] = False
    return np.asarray(chosen)


def _thickness(covered: np.ndarray, first: int, last: int) -> int:
    """Return the pixels across a line whose columns `first` to before `last` of a coverage (w,) are clearest."""
    faint = np.flatnonzero(covered < COVERED / 2)
    at = int(np.searchsorted(faint, first))
    before, after = faint[at - 1] if at else -1, faint[at] if at < len(faint) else len(covered)
    return int(after - before - 2)  # each pixel covers two columns


@lru_cache(maxsize=64)
def _shifts(height: int) -> np.ndarray:
    """Return how far each slope moves each row sideways, in pixels: int64 (slopes,h)."""
    slopes = np.arange(-STEEPEST, STEEPEST + STEP / 2, STEP)
    return np.round(np.outer(slopes, np.arange(height) - (height - 1) / 2)).astype(np.int64)
