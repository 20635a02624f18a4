"""Rings: one that someone drew around a digit is taken away, and a slash is taken out of a 0.

The outermost ink in every direction tells a ring: nearly everywhere it lies on one ellipse. What lies within is the
digit, also where it touches the ring, and the ring is cleared. A 0 has nothing inside. One straight bar from side to
side is the slash of a 0, and the bar is cleared, unless the ring is a circle and the bar is nearly upright: a 1.
"""

from dataclasses import dataclass

import numpy as np

from capsnet.preprocessing.connected_components import Components

LONGEST = 2.2  # the longer side of a ring's extent over the shorter, at most
DIRECTIONS = 72  # in which the outermost ink is sought
OUTLIER = 0.12  # radii of the ellipse, by which outermost ink may miss it: a gap, or the end of a slash
CLOSED = 0.9  # of all rows' ends, that do not
ROUGHLY = 0.4  # of the half axes, by which they may miss the ellipse that fills their extent
HOPELESS = 0.7  # of all rows' ends: where fewer lie on an ellipse at first, there is none
ROWS = 48  # of the ring, spread evenly, are enough to know its shape
TINY = 1e-6  # keeps equations of few points solvable
RADII = 40  # steps from the middle to the ring
THICKEST = 0.35  # of the radius, that a ring's line is thick
MARGIN = 1.4  # thicknesses of its line, within which ink is the ring's
HOLLOW = 0.54  # of the radius, that is at least left within the ring's line: a thick narrow 6 has less
LEAST_HEIGHT = 0.5  # of the ring's height, that the ink inside has
LEAST_INK = 0.15  # of the ring's ink
CORE = 0.6  # of the radius, within which a slash is straight
SLASH_LENGTH = 0.75  # of the distance from side to side of the ring, that it is long
SLASH_WIDTH = 0.25  # radii on either side of its middle line
ALONE, ALONE_IN_ZERO = 0.85, 0.6  # of the ink inside, that it is: in a circle, and in a narrower ring
CIRCLE = 1.3  # the longer axis over the shorter, up to which a bar may be a 1 in a circle
UPRIGHT = 30  # degrees from the vertical, up to which it is


@dataclass(frozen=True)
class Ellipse:
    """An ellipse: its middle (x,y), and the matrix that makes it the unit circle."""

    middle: np.ndarray
    unit: np.ndarray

    def polar(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Direction, a number below `DIRECTIONS`, and radius, 1 on the ellipse, of points (2,n): both (n,)."""
        across, down = self.unit @ (points - self.middle[:, None])
        direction = np.floor(np.arctan2(down, across) / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
        return direction, np.hypot(across, down)

    @property
    def elongation(self) -> float:
        """The longer axis over the shorter."""
        axes = np.linalg.svd(self.unit, compute_uv=False)
        return float(axes[0] / axes[1])


def clear_ring(contrast: np.ndarray, parts: Components) -> tuple[np.ndarray, bool] | None:
    """Clear a ring around other ink, or the slash within a 0; None where there is neither.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1].
    parts
        Components of its strokes.

    Returns
    -------
    contrast : np.ndarray
        float32 (h,w) without it.
    zero : bool
        Whether the ring is left, a 0.
    """
    outer = int(np.argmax(parts.height * parts.width))
    height, width = int(parts.height[outer]), int(parts.width[outer])
    if max(height, width) > LONGEST * min(height, width) or not (ellipse := _ellipse(parts, outer)):
        return None
    rows, columns = parts.window(outer)
    own = parts.mask(np.arange(len(parts)) == outer)[rows, columns]
    ink = parts.mask(np.ones(len(parts), bool))[rows, columns]
    y, x = np.nonzero(ink)
    points = np.stack([x + 0.5, y + 0.5])
    direction, radius = ellipse.polar(points)
    joined = own[y, x]
    edge = _inner_edge(direction[joined], radius[joined])
    if edge < HOLLOW:
        return None
    inside = radius < edge
    level = np.flatnonzero(np.bincount(y[inside], minlength=height))
    if not len(level) or level[-1] - level[0] < LEAST_HEIGHT * height:
        return None
    if inside.sum() < LEAST_INK * (joined & ~inside).sum():
        return None
    clear, zero = joined & ~inside, False
    circle = ellipse.elongation < CIRCLE
    turn = _slash(points[:, inside], ellipse, edge, alone=ALONE if circle else ALONE_IN_ZERO)
    if turn is None:
        if not circle:
            return None
    elif not circle or turn >= UPRIGHT:
        clear, zero = inside | (radius > 1 + OUTLIER), True
    else:
        return None
    cleared = contrast.copy()
    cleared[rows, columns][y[clear], x[clear]] = 0
    return cleared, zero


def _ellipse(parts: Components, outer: int) -> Ellipse | None:
    """The ellipse on which the first and the last ink of nearly every row of a component lies; None without one."""
    points = _sides(parts, outer)
    size = np.array([parts.width[outer], parts.height[outer]], float)
    # Even a leaning ellipse is near the one that fills its extent; most other digits are not.
    near = np.abs(np.hypot(*(2 * points / size[:, None] - 1)) - 1) < ROUGHLY
    if near.mean() < HOPELESS:
        return None
    found: Ellipse | None = None
    for _ in range(3):
        found = _fit(points[:, near], size)
        if found is None:
            return None
        off = np.abs(np.hypot(*(found.unit @ (points - found.middle[:, None]))) - 1)
        near = off < OUTLIER
        if np.mean(near) < HOPELESS:
            return None
    return found if found and near.mean() >= CLOSED and found.elongation < LONGEST else None


def _sides(parts: Components, outer: int) -> np.ndarray:
    """Where the rows of a component begin and end, of some rows: (2,n)."""
    runs = np.flatnonzero(parts.label == outer)
    row, first = np.divmod(parts.starts[runs], parts.shape[1] + 2)
    begin = np.flatnonzero(np.diff(row, prepend=-1))
    end = np.append(begin[1:], len(runs)) - 1
    rows = row[begin] - parts.top[outer] + 0.5
    left = first[begin] - 1 - parts.left[outer]
    right = first[end] - 1 - parts.left[outer] + (parts.ends[runs] - parts.starts[runs])[end]
    chosen = np.linspace(0, len(rows) - 1, ROWS).astype(int)
    return np.stack(
        [np.concatenate([left, right])[np.append(chosen, len(rows) + chosen)], np.tile(rows[chosen], 2)]
    )


def _fit(points: np.ndarray, size: np.ndarray) -> Ellipse | None:
    """The ellipse nearest to points (2,n), in least squares of its equation; None where it is none."""
    x, y = 2 * points / size[:, None] - 1
    terms = np.stack([x * x, x * y, y * y, x, y], axis=1)
    a, b, c, d, e = np.linalg.solve(terms.T @ terms + TINY * np.eye(5), terms.sum(axis=0))
    form = np.array([[a, b / 2], [b / 2, c]])
    if np.linalg.det(form) <= 1e-6 or a <= 0:
        return None
    middle = -np.linalg.solve(2 * form, np.array([d, e]))
    scale = 1 + middle @ form @ middle
    unit = np.linalg.cholesky(form / scale).T @ np.diag(2 / size)
    return Ellipse((middle + 1) * size / 2, unit)


def _inner_edge(direction: np.ndarray, radius: np.ndarray) -> float:
    """Radius within which ink is no longer the ring's."""
    own = np.abs(radius - 1) < THICKEST + OUTLIER
    step = np.minimum((radius[own] * RADII).astype(int), 2 * RADII - 1)
    filled = np.zeros((DIRECTIONS, 2 * RADII), bool)
    filled[direction[own], step] = True
    # Half of the directions have ink at the ring's every radius.
    common = np.flatnonzero(filled.mean(axis=0) > 0.5)
    if not len(common):
        return 1 - THICKEST
    thick = min((common[-1] - common[0] + 1) / RADII, THICKEST)
    return float(1 - MARGIN * thick)


def _slash(points: np.ndarray, ellipse: Ellipse, edge: float, *, alone: float) -> float | None:
    """Degrees from the vertical of the one straight bar that points (2,n) inside a ring are; None otherwise."""
    inside = ellipse.unit @ (points - ellipse.middle[:, None])
    core = inside[:, np.hypot(*inside) < CORE]
    if core.shape[1] < 3:
        return None
    middle = core.mean(axis=1, keepdims=True)
    axes = np.linalg.eigh((core - middle) @ (core - middle).T)[1]
    across, along = axes.T @ (inside - middle)
    bar = np.abs(across) < SLASH_WIDTH
    if np.ptp(along[bar]) < 2 * SLASH_LENGTH * edge or bar.mean() < alone:
        return None
    x, y = np.linalg.solve(ellipse.unit, axes[:, 1])
    return float(np.degrees(np.arctan2(abs(x), abs(y))))
