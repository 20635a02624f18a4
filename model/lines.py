"""Printed lines of ruled and squared paper: found as long straight streaks, and taken away from the strokes.

A streak crosses most of the picture at one slope. Slopes are tried on narrow strips of the picture, each shifted
against its neighbour, first roughly for the direction of all lines, then finely for each of them.
"""

from dataclasses import dataclass

import numpy as np

STRIPS = 32  # columns of strips that the picture is summed up in
STEEPEST = 0.36  # largest slope: 20 degrees
ROUGH, FINE = 0.02, 0.004  # steps between slopes
PERSPECTIVE = 0.06  # how far the slopes of parallel lines differ in a photograph
COVERED = 0.6  # of the picture's width, that a line at least covers
ALONE = 0.9  # the same for a line without a parallel
THICKEST = 0.025  # of the longer edge
APART = 4  # pixels at least between two lines
MOST = 60  # lines
DARKER = 1.6  # than the line is a stroke that crosses it


@dataclass(frozen=True)
class Line:
    """A streak from edge to edge: its row at the picture's middle, and its slope."""

    row: int
    slope: float

    def rows(self, width: int) -> np.ndarray:
        """Its row in each column, int64 (w,)."""
        return np.round(self.row + self.slope * (np.arange(width) - (width - 1) / 2)).astype(np.int64)


def without_lines(contrast: np.ndarray, floor: float) -> np.ndarray:
    """Take away lines that lie and lines that stand: float32 (h,w); `floor` is the faintest contrast of a stroke."""
    lying = _without_lying_lines(contrast, floor)
    return np.ascontiguousarray(_without_lying_lines(np.ascontiguousarray(lying.T), floor).T)


def _without_lying_lines(contrast: np.ndarray, floor: float) -> np.ndarray:
    lines = find_lines(contrast, floor)
    if not lines:
        return contrast
    result = contrast.copy()
    for line in lines:
        _take_away(line, contrast, result, floor)
    return result


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
    padded = np.pad(strips, ((room, room), (0, 0)))
    total = np.zeros((len(slopes), height), np.float32)
    for index, slope in enumerate(slopes):
        for strip, shift in enumerate(np.round(slope * middles).astype(int)):
            total[index] += padded[room + shift : room + shift + height, strip]
    return total / len(middles)


def _peaks(covered: np.ndarray, slopes: np.ndarray) -> list[Line]:
    """The clearest streaks, no two of them on top of each other."""
    best = covered.max(axis=0)
    lines: list[Line] = []
    for row in np.argsort(-best)[: MOST * 2 * APART]:
        if best[row] < COVERED or len(lines) == MOST:
            break
        if all(abs(row - line.row) > APART for line in lines):
            lines.append(Line(int(row), float(slopes[int(np.argmax(covered[:, row]))])))
    return lines if len(lines) > 1 or best.max() > ALONE else []


def _take_away(line: Line, contrast: np.ndarray, result: np.ndarray, floor: float) -> None:
    """Clear a line's band in `result`, but for what is darker and what goes on at both of its sides."""
    height, width = contrast.shape
    reach = max(3, round(THICKEST * max(height, width) / 2) + 2)
    rows = line.rows(width)
    offsets = np.arange(-reach, reach + 1)
    where = np.clip(rows + offsets[:, None], 0, height - 1)
    columns = np.arange(width)
    profile = np.median(contrast[where, columns], axis=1)
    strength = float(profile.max())
    if strength < floor / 3:
        strength = floor
    top = bottom = int(np.argmax(profile[1:-1])) + 1
    while top > 0 and profile[top] > 0.25 * strength:
        top -= 1
    while bottom < len(offsets) - 1 and profile[bottom] > 0.25 * strength:
        bottom += 1
    if bottom - top > THICKEST * max(height, width) + 2:
        return
    side = bottom - top
    above, below = (contrast[np.clip(rows + offsets[end] + by, 0, height - 1), columns] for end, by in ((top, -1), (bottom, 1)))
    goes_on = np.minimum(_wider(above, side), _wider(below, side))
    band = where[top : bottom + 1]
    own = contrast[band, columns]
    kept = np.where(own > DARKER * strength, own, np.minimum(own, goes_on))
    result[band, columns] = np.minimum(result[band, columns], kept)


def _wider(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest neighbour within `reach`: (w,)."""
    padded = np.pad(values, reach)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
