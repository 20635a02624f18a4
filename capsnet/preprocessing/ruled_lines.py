"""Printed lines of ruled and squared paper: found as long straight streaks, and taken away from the strokes.

A streak crosses most of the image at one slope. Slopes are tried on narrow strips of the image, each shifted
against its neighbour, first roughly for the direction of all lines, then finely for each of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from capsnet.preprocessing.local_background import running_extremum

STRIPS = 32  # columns of strips that the image is summed up in
STEEPEST = 0.36  # largest slope: 20 degrees
ROUGH, FINE = 0.02, 0.004  # steps between slopes
MOST_OFF = 1.0  # pixel at the image's edges, by which the finest slopes may miss a line
PERSPECTIVE = 0.06  # how far the slopes of parallel lines differ in a photograph
COVERED = 0.6  # of the image's width, that a line at least covers
ALONE = 0.9  # the same for a line without a parallel
THICKEST = 0.025  # of the longer edge
APART = 4  # pixels at least between two lines
MOST = 60  # lines
SAMPLED = 4  # every so many columns are enough to know a line's contrast
DARKER = 1.6  # than the line is a stroke that crosses it


@dataclass(frozen=True)
class Line:
    """A streak from edge to edge: its row at the image's middle, and its slope."""

    row: int
    slope: float

    def rows(self, width: int) -> np.ndarray:
        """Return its row in each column, int64 (w,)."""
        return np.round(self.row + self.slope * (np.arange(width) - (width - 1) / 2)).astype(np.int64)


@dataclass(frozen=True)
class RuledLine:
    """The pixels of a line, by their places in the flattened image, and its contrast.

    Attributes
    ----------
    places
        int64 (n,w): its n pixels in each column; of a line that stands, in each row.
    beside
        int64 (2,w): the pixels next to them on either side.
    contrast
        That of its darkest row.
    """

    places: np.ndarray
    beside: np.ndarray
    contrast: float


def remove_ruled_lines(contrast: np.ndarray, floor: float) -> np.ndarray:
    """Take away lines that lie and lines that stand: float32 (h,w); `floor` is the faintest contrast of a stroke."""
    contrast = np.ascontiguousarray(contrast)
    lying, standing = find_bands(contrast, floor), find_bands(contrast, floor, standing=True)
    result = contrast.copy()
    # Where lines cross, one does not count as a stroke that goes on at both sides of the other.
    for bands, others in ((lying, standing), (standing, lying)):
        beside = _emptied(contrast, others)
        for band in bands:
            _clear(result.reshape(-1), beside, band)
    return result


def _emptied(contrast: np.ndarray, bands: list[RuledLine]) -> np.ndarray:
    """Return the contrast without the pixels of lines, strokes across them included unless they are darker: flat."""
    result = contrast.flatten()
    for band in bands:
        own = contrast.take(band.places)
        result[band.places] = own * (own > DARKER * band.contrast)
    return result


def find_bands(contrast: np.ndarray, floor: float, *, standing: bool = False) -> list[RuledLine]:
    """Find the pixels of lines nearer to lying than to standing, or the other way round; contrast float32 (h,w)."""
    turned = contrast.T if standing else contrast
    down, along = (1, contrast.shape[1]) if standing else (contrast.shape[1], 1)
    height, width = turned.shape
    lines = find_lines(turned, floor)
    if not lines:
        return []
    thickest = THICKEST * max(height, width)
    reach = round(thickest / 2) + 3
    offsets, columns = np.arange(-reach, reach + 1), along * np.arange(width)
    middles = np.stack([line.rows(width) for line in lines])  # (lines,w)
    rows = _inside(middles[:, None, ::SAMPLED] + offsets[:, None], height)  # (lines,offsets,w/SAMPLED)
    sampled = contrast.take(down * rows + columns[::SAMPLED])
    half = sampled.shape[2] // 2
    # Medians, but for the care that NumPy's takes.
    profiles = np.partition(sampled, half, axis=2)[:, :, half]
    bands = []
    for rows_of_middle, profile in zip(middles, profiles, strict=True):
        edges = _edges(profile)
        if edges is None or edges[1] - edges[0] > thickest + 2:
            continue
        first, last = edges
        own = offsets[max(first - 1, 0) : last + 2]  # with a row on either side, where there is one
        places = down * _inside(rows_of_middle + own[:, None], height) + columns
        inner = places[first - max(first - 1, 0) :][: last + 1 - first]
        bands.append(RuledLine(inner, places[[0, -1]], max(float(profile.max()), floor / 2)))
    return bands


def _edges(profile: np.ndarray) -> tuple[int, int] | None:
    """Return the first faint places on both sides of a profile's strongest; None where there is none on a side."""
    faint = profile <= 0.25 * profile.max()
    middle = int(np.argmax(profile))
    before, after = np.flatnonzero(faint[:middle]), np.flatnonzero(faint[middle + 1 :])
    return (int(before[-1]), middle + 1 + int(after[0])) if len(before) and len(after) else None


def find_lines(contrast: np.ndarray, floor: float) -> list[Line]:
    """Find streaks across an image float32 (h,w) that are nearer to lying than to standing."""
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
    step = min(FINE, 4 * MOST_OFF / width)
    slopes = np.arange(direction - PERSPECTIVE, direction + PERSPECTIVE, step)
    # A line as thin as a pixel runs through two rows of each strip.
    spread = np.minimum(strips + np.roll(strips, 1, axis=0) + np.roll(strips, -1, axis=0), 1)
    covered = _coverage(spread, middles, slopes)  # (slopes,h)
    return _peaks(covered, slopes)


def _coverage(strips: np.ndarray, middles: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return the mean of strips (h,n) in [0,1] along a streak of each slope through each row: float32 (slopes,h)."""
    height, count = strips.shape
    padding = int(np.ceil(np.abs(middles).max() * np.abs(slopes).max())) + 1
    # A strip's rows side by side and in whole numbers, of which twice as many are added up at a time.
    unit = np.iinfo(np.uint16).max // count
    columns = np.pad(np.round(strips.T * np.float32(unit)).astype(np.uint16), ((0, 0), (padding, padding)))
    first = np.round(np.outer(slopes, middles)).astype(int) + padding
    # Two neighbours are as far apart at many slopes, so every two are added up once for each distance.
    apart = first[:, 1::2] - first[:, ::2]
    least, most = int(apart.min()), int(apart.max())
    pairs = np.stack([_pairs(columns, distance) for distance in range(least, most + 1)], axis=1)
    total = np.zeros((len(slopes), height), np.uint16)
    windows = sliding_window_view(pairs, height, axis=2)
    for pair, distances, starts in zip(windows, (apart - least).T, first[:, ::2].T, strict=True):
        total += pair[distances, starts]
    return total / np.float32(unit * count)


def _pairs(columns: np.ndarray, distance: int) -> np.ndarray:
    """Return each even one of columns (n,h) plus the next, moved back by `distance`, where that has rows: (n/2,h)."""
    total, rows = columns[::2].copy(), columns.shape[1]
    before, after = max(-distance, 0), max(distance, 0)
    total[:, before : rows - after] += columns[1::2, after : rows - before]
    return total


def _peaks(covered: np.ndarray, slopes: np.ndarray) -> list[Line]:
    """Return the clearest streaks, no two of them on top of each other."""
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


def _inside(rows: np.ndarray, height: int) -> np.ndarray:
    """Return the nearest rows of the image."""
    return np.asarray(np.minimum(np.maximum(rows, 0), height - 1))


def _clear(contrast: np.ndarray, others: np.ndarray, band: RuledLine) -> None:
    """Clear a line, but not pixels that are darker than it or go on at both of its sides: a stroke. Both are flat."""
    above, below = _wider(others.take(band.beside), len(band.places))
    own = contrast.take(band.places)
    contrast[band.places] = np.where(
        own > DARKER * band.contrast, own, np.minimum(own, np.minimum(above, below))
    )


def _wider(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the largest neighbour within `reach` along each row: (n,w)."""
    nothing = np.zeros((len(values), reach), values.dtype)
    return running_extremum(np.concatenate([nothing, values, nothing], axis=1), 2 * reach + 1, 1, np.maximum)
