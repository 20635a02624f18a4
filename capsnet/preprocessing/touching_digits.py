"""Where strokes of touching digits can be cut: paths from top to bottom that cross as little ink as possible."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from capsnet.preprocessing.connected_components import find_components
from capsnet.preprocessing.separate_digits import Strokes

ROWS = 40  # of the small image in which paths are sought
SIDEWAYS = 0.06  # what a step sideways costs, in pixels of full ink
BARE = 0.01  # what a pixel without ink costs
EDGE = 0.08  # of the height, that a cut is at least away from either side
APART = 0.07  # of the height, between two cuts
MOST_CUTS = 10
WIDEST = 1.6  # of the height, that a piece may be wide
LEAST_INK = 0.08  # of the whole, that a piece has
CHAIN = 1.6  # width over height, from which on strokes may be three digits or more
SPECK = 0.06  # of a piece's ink: the rest on the wrong side of a cut


@dataclass(frozen=True)
class Division:
    """Strokes divided along cuts.

    Attributes
    ----------
    pieces
        The strokes between every two of the cuts, the sides included.
    between
        For each piece the numbers of the cuts at its sides; 0 is the left side.
    last
        The number of the right side.
    heights
        How high each piece is, as a share of the whole.
    shares
        The share of the ink that lies to the left of each cut, the sides included: from 0 to 1.
    """

    pieces: list[Strokes]
    between: list[tuple[int, int]]
    last: int
    heights: list[float]
    shares: list[float]


def divide(strokes: Strokes) -> Division:
    """Cut strokes at the places where digits may touch, in every combination that digits may have."""
    values = strokes.values
    height, width = values.shape
    columns = max(2, round(width * ROWS / height))
    small = np.asarray(Image.fromarray(values).resize((columns, ROWS), Image.Resampling.BOX))
    paths = _paths(small)
    # Each pixel's column, counted from the path of its row, tells on which side it lies.
    rows = np.minimum((np.arange(height) * ROWS / height).astype(int), ROWS - 1)
    sides = [path[rows] * width / columns for path in paths]
    bounds = [np.zeros(height), *sides, np.full(height, float(width))]
    pieces, between = [], []
    end = len(bounds) - 1
    for first, last in combinations(range(end + 1), 2):
        if (first, last) == (0, end) or (first > 0 and last < end and width < CHAIN * height):
            continue
        piece = _between(strokes, bounds[first], bounds[last])
        if piece is not None:
            pieces.append(piece)
            between.append((first, last))
    heights = [len(piece.values) / height for piece in pieces]
    shares = [0.0, *(_left_share(small, path) for path in paths), 1.0]
    return Division(pieces, between, end, heights, shares)


def _between(strokes: Strokes, left: np.ndarray, right: np.ndarray) -> Strokes | None:
    """Return the strokes between two paths (h,), cropped; None where they are too few or too wide for a digit."""
    values = strokes.values
    column = np.arange(values.shape[1])[None]
    own = np.where((column >= left[:, None]) & (column < right[:, None]), values, np.float32(0))
    if own.sum() < LEAST_INK * values.sum():
        return None
    parts = find_components(own > 0.25, own)
    if not len(parts):
        return None
    keep = parts.weight > SPECK * parts.weight.sum()
    if not keep.any():  # specks alone
        return None
    mask = parts.mask(keep)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    tall, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    if tall < 0.45 * len(values) or wide > WIDEST * max(tall, 0.8 * len(values)):
        return None
    cut = np.where(mask[box], own[box], np.float32(0))
    return Strokes(cut, strokes.left + int(columns[0]), strokes.top + int(rows[0]))


def _paths(ink: np.ndarray) -> list[np.ndarray]:
    """Find the cheapest paths through ink (ROWS,w), float in [0,1], from left to right: columns (ROWS,) of each."""
    cost = ink + np.float32(BARE)
    down, came = _descents(cost)
    up, _ = _descents(cost[::-1])
    up = up[::-1]
    total = down + up - cost  # of the cheapest path through each pixel
    width = ink.shape[1]
    chosen: list[tuple[float, np.ndarray]] = []
    margin = max(1, round(EDGE * ROWS))
    for row in (ROWS // 3, ROWS // 2, 2 * ROWS // 3):
        line = total[row]
        columns = range(margin, width - margin)
        lowest = [at for at in columns if line[at] <= line[max(0, at - 1) : at + 2].min()]
        chosen += [(float(line[at]), _path_through(down, came, cost, row, at)) for at in lowest]
    chosen.sort(key=lambda each: each[0])
    kept: list[np.ndarray] = []
    for _, path in chosen:
        if len(kept) == MOST_CUTS:
            break
        share = _left_share(ink, path)
        near = any(np.abs(path - other).mean() < APART * ROWS for other in kept)
        if not near and LEAST_INK < share < 1 - LEAST_INK:
            kept.append(path)
    return sorted(kept, key=lambda path: float(path.mean()))


def _left_share(ink: np.ndarray, path: np.ndarray) -> float:
    left = np.arange(ink.shape[1])[None] < path[:, None]
    return float(ink[left].sum() / max(ink.sum(), 1e-6))


def _descents(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cost of the cheapest path from the top to each pixel, and its last step (-1, 0, 1): both (h,w)."""
    total = cost.copy()
    came = np.zeros(cost.shape, np.int8)
    big = np.float32(1e6)
    for row in range(1, len(cost)):
        above = total[row - 1]
        options = np.stack(
            [
                np.concatenate([[big], above[:-1]]) + SIDEWAYS,
                above,
                np.concatenate([above[1:], [big]]) + SIDEWAYS,
            ]
        )
        best = options.argmin(axis=0)
        came[row] = best - 1
        total[row] += options[best, np.arange(len(above))]
    return total, came


def _path_through(down: np.ndarray, came: np.ndarray, cost: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the cheapest path through a pixel: its column in each row, float (h,)."""
    path = np.zeros(len(cost))
    path[row] = at = column
    for upper in range(row, 0, -1):
        at += int(came[upper, at])
        path[upper - 1] = at
    return _downward(path, row, column, cost)


def _downward(path: np.ndarray, row: int, column: int, cost: np.ndarray) -> np.ndarray:
    lower, came = _descents(cost[row:][::-1])
    at, last = column, len(lower) - 1
    for step in range(last, 0, -1):
        at += int(came[step, at])
        path[row + last - step + 1] = at
    return path
