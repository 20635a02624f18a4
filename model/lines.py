"""Printed lines of ruled and squared paper: found as long straight streaks, and taken away from the strokes.

A streak crosses most of the picture at one slope. Slopes are tried on narrow strips of the picture, each shifted
against its neighbour, first roughly for the direction of all lines, then finely for each of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from model.paper import extremes

STRIPS = 32  # columns of strips that the picture is summed up in
STEEPEST = 0.36  # largest slope: 20 degrees
ROUGH, FINE = 0.02, 0.004  # steps between slopes
PERSPECTIVE = 0.06  # how far the slopes of parallel lines differ in a photograph
COVERED = 0.6  # of the picture's width, that a line at least covers
ALONE = 0.9  # the same for a line without a parallel
THICKEST = 0.025  # of the longer edge
APART = 4  # pixels at least between two lines
MOST = 60  # lines
SAMPLED = 4  # every so many columns are enough to know a line's contrast
DARKER = 1.6  # than the line is a stroke that crosses it


@dataclass(frozen=True)
class Line:
    """A streak from edge to edge: its row at the picture's middle, and its slope."""

    row: int
    slope: float

    def rows(self, width: int) -> np.ndarray:
        """Its row in each column, int64 (w,)."""
        return np.round(self.row + self.slope * (np.arange(width) - (width - 1) / 2)).astype(np.int64)


@dataclass(frozen=True)
class Band:
    """The pixels of a line: their rows int64 (n,w) in each column, the rows beside them, and their contrast."""

    rows: np.ndarray
    above: np.ndarray
    below: np.ndarray
    contrast: float


def without_lines(contrast: np.ndarray, floor: float) -> np.ndarray:
    """Take away lines that lie and lines that stand: float32 (h,w); `floor` is the faintest contrast of a stroke."""
    lying = find_bands(contrast, floor)
    standing = find_bands(np.ascontiguousarray(contrast.T), floor)
    result = contrast.copy()
    # Where lines cross, one does not count as a stroke that goes on at both sides of the other.
    for bands, others, turned in ((lying, standing, False), (standing, lying, True)):
        beside, view = (contrast.T, result.T) if turned else (contrast, result)
        beside = _emptied(beside.T, others).T
        for band in bands:
            _clear(view, beside, band)
    return result


def _emptied(contrast: np.ndarray, bands: list[Band]) -> np.ndarray:
    """The contrast without the pixels of lines, strokes across them included unless they are darker."""
    result = contrast.copy()
    columns = np.arange(contrast.shape[1])
    for band in bands:
        own = contrast[band.rows, columns]
        result[band.rows, columns] = np.where(own > DARKER * band.contrast, own, 0)
    return result


def find_bands(contrast: np.ndarray, floor: float) -> list[Band]:
    """The pixels of all lines that are nearer to lying than to standing."""
    bands = (_band(line, contrast, floor) for line in find_lines(contrast, floor))
    return [band for band in bands if band is not None]


def find_lines(contrast: np.ndarray, floor: float) -> list[Line]:
    """Streaks across a picture float32 (h,w) that are nearer to lying than to standing."""
    height, width = contrast.shape
    if min(height, width) < 4 * STRIPS:
        return []
    edges = np.linspace(0, width, STRIPS + 1).astype(int)
    marked = np.minimum(contrast, np.float32(floor)) / np.float32(floor)
    strips = np.add.reduceat(marked, edges[:-1], axis=1) / np.diff(edges).astype(np.float32)  # (h,strips)
    middles = (edges[:-1] + edges[1:] - width) / 2
    rough = np.arange(-STEEPEST, STEEPEST + ROUGH, ROUGH)
    halved = strips[: height // 2 * 2].reshape(-1, 2, STRIPS).max(axis=1)
    clarity = (_coverage(halved, middles / 2, rough) ** 4).sum(axis=1)
    direction = rough[int(np.argmax(clarity))]
    slopes = np.arange(direction - PERSPECTIVE, direction + PERSPECTIVE, FINE)
    # A line as thin as a pixel runs through two rows of each strip.
    spread = np.minimum(strips + np.roll(strips, 1, axis=0) + np.roll(strips, -1, axis=0), 1)
    covered = _coverage(spread, middles, slopes)  # (slopes,h)
    return _peaks(covered, slopes)


def _coverage(strips: np.ndarray, middles: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Mean of the strips (h,n) along a streak of each slope through each row: float32 (slopes,h)."""
    height = len(strips)
    room = int(np.ceil(np.abs(middles).max() * np.abs(slopes).max())) + 1
    columns = np.pad(strips.T, ((0, 0), (room, room)))  # a strip's rows side by side, which is quicker to add
    first = np.round(np.outer(slopes, middles)).astype(int) + room
    total = np.zeros((len(slopes), height), np.float32)
    for windows, starts in zip(sliding_window_view(columns, height, axis=1), first.T, strict=True):
        total += windows[starts]
    return total / len(middles)


def _peaks(covered: np.ndarray, slopes: np.ndarray) -> list[Line]:
    """The clearest streaks, no two of them on top of each other."""
    best = covered.max(axis=0)
    taken = np.zeros(len(best), bool)
    lines: list[Line] = []
    for row in np.argsort(-best)[: MOST * 2 * APART].tolist():
        if best[row] < COVERED or len(lines) == MOST:
            break
        if not taken[row]:
            taken[max(0, row - APART) : row + APART + 1] = True
            lines.append(Line(row, float(slopes[int(np.argmax(covered[:, row]))])))
    return lines if len(lines) > 1 or best.max() > ALONE else []


def _band(line: Line, contrast: np.ndarray, floor: float) -> Band | None:
    """How far a line reaches to its sides; None where it is too thick for one."""
    height, width = contrast.shape
    thickest = THICKEST * max(height, width)
    reach = round(thickest / 2) + 3
    offsets, middle_rows, columns = np.arange(-reach, reach + 1), line.rows(width), np.arange(width)
    rows = _inside(middle_rows[::SAMPLED] + offsets[:, None], height)
    sampled = contrast.ravel().take(rows * width + columns[::SAMPLED])
    half = sampled.shape[1] // 2
    profile = np.partition(sampled, half, axis=1)[:, half]  # a median, but for the care that NumPy's takes
    faint = profile <= 0.25 * profile.max()
    middle = int(np.argmax(profile))
    before, after = np.flatnonzero(faint[:middle]), np.flatnonzero(faint[middle + 1 :])
    if not len(before) or not len(after) or middle + 1 + after[0] - before[-1] > thickest + 2:
        return None
    first, last = int(before[-1]), middle + 1 + int(after[0])
    own = offsets[max(first - 1, 0) : last + 2]  # with a row on either side, where there is one
    rows = _inside(middle_rows + own[:, None], height)
    inner = rows[first - max(first - 1, 0) :][: last + 1 - first]
    return Band(inner, rows[0], rows[-1], max(float(profile.max()), floor / 2))


def _inside(rows: np.ndarray, height: int) -> np.ndarray:
    """The nearest rows of the picture."""
    return np.asarray(np.minimum(np.maximum(rows, 0), height - 1))


def _clear(contrast: np.ndarray, beside: np.ndarray, band: Band) -> None:
    """Clear a line, but for what is darker than it and what goes on at both of its sides: a stroke."""
    columns = np.arange(contrast.shape[1])
    above, below = (_wider(beside[rows, columns], len(band.rows)) for rows in (band.above, band.below))
    own = contrast[band.rows, columns]
    contrast[band.rows, columns] = np.where(
        own > DARKER * band.contrast, own, np.minimum(own, np.minimum(above, below))
    )


def _wider(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest neighbour within `reach`: (w,)."""
    nothing = np.zeros(reach, values.dtype)
    return extremes(np.concatenate([nothing, values, nothing]), 2 * reach + 1, 0, np.maximum)
