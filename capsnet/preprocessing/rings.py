"""Rings: one that someone drew around a digit is taken away, and a slash is taken out of a 0.

The outermost ink in every direction tells a ring: nearly everywhere it lies on one ellipse. What lies within is the
digit, also where it touches the ring, and the ring is cleared. A 0 has nothing inside. One straight bar from side to
side, no thicker than the ring, is the slash of a 0, and the bar is cleared. In a circle it may also be a 1: it is one
where it does not touch the circle or stands upright, and in between the image is left as it is. A leaning bar that
touches nothing is also the slash of a 0 in a ring that is neither a circle nor a cell, however uneven.
"""

from dataclasses import dataclass

import numpy as np

from capsnet.preprocessing.cells import cell_lines
from capsnet.preprocessing.connected_components import Components

LONGEST = 3.0  # the longer side of a ring's extent over the shorter, at most
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
HOLLOW = 0.6  # of the radius, that is at least left within the ring's line: a thick narrow 6 has less
LEAST_HEIGHT = 0.4  # of the ring's height, that the ink within `CORE` has: the base of a 0 has none there
SPECK = 0.01  # of the outermost component's pixels: anything smaller is grain
LEAST_INK = 0.15  # of the ring's ink
CORE = 0.6  # of the radius, within which a digit has most of its height and a slash is straight
SLASH_LENGTH = 0.75  # of the distance from side to side of the ring, that it is long
SLASH_WIDTH = 0.25  # radii on either side of its middle line
ALONE, ALONE_IN_ZERO = 0.85, 0.6  # of the ink inside, that it is: in a circle, and in a narrower ring
SLASH_THICK = 1.2  # thicknesses of the ring's line, that a slash has at most: a slender 4 or 8 has more ink
CIRCLE = 1.3  # the longer axis over the shorter, up to which a bar may be a 1 in a circle
ROUND = 1.2  # the same, up to which a bar that does not touch the circle is one
SLENDER = 0.25  # of its length, that a slash which touches nothing is thick at most
FULL = 1.6  # of its pixels, that the rectangle around it has at most: anything else bends
LOOSE_LENGTH = 0.65  # of the way between the two sides of the ring, that it is long
TOUCHING = 0.5  # of the ink inside, that is joined to the ring if the two touch
MOSTLY = 0.7  # of the ink inside, that a bar is if it may be a slash
ONE, SLASH = (
    15,
    30,
)  # degrees from the vertical: up to the first a bar in a circle is a 1, from the second on a slash


@dataclass(frozen=True)
class Ellipse:
    """An ellipse: its middle (x,y), and the matrix that makes it the unit circle."""

    middle: np.ndarray
    unit: np.ndarray

    def polar(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return direction, a number below `DIRECTIONS`, and radius, 1 on the ellipse, of points (2,n): both (n,)."""
        across, down = self.unit @ (points - self.middle[:, None])
        direction = np.floor(np.arctan2(down, across) / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
        return direction, np.hypot(across, down)

    @property
    def elongation(self) -> float:
        """Return the longer axis over the shorter."""
        axes = np.linalg.svd(self.unit, compute_uv=False)
        return float(axes[0] / axes[1])


@dataclass(frozen=True)
class Bar:
    """A straight bar inside a ring.

    Attributes
    ----------
    share
        Of the ink inside, that is the bar's.
    turn
        Degrees from the vertical.
    thick
        Thickness of the ink inside, in thicknesses of the ring's line.
    """

    share: float
    turn: float
    thick: float


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
    if (slash := _loose_slash(parts, outer)) is not None:
        return np.where(slash, np.float32(0), contrast), True
    height, width = int(parts.height[outer]), int(parts.width[outer])
    if max(height, width) > LONGEST * min(height, width) or not (ellipse := _ellipse(parts, outer)):
        return None
    rows, columns = parts.window(outer)
    own = parts.mask(np.arange(len(parts)) == outer)[rows, columns]
    ink = parts.mask(parts.pixels > SPECK * parts.pixels[outer])[rows, columns]
    y, x = np.nonzero(ink)
    points = np.stack([x + 0.5, y + 0.5])
    direction, radius = ellipse.polar(points)
    joined = own[y, x]
    edge = _inner_edge(direction[joined], radius[joined])
    if edge < HOLLOW:
        return None
    inside = radius < edge
    level = y[radius < CORE]
    if not len(level) or np.ptp(level) < LEAST_HEIGHT * height:
        return None
    if inside.sum() < LEAST_INK * (joined & ~inside).sum():
        return None
    bar = _bar(points[:, inside], ellipse, edge)
    zero = _is_zero(bar, ellipse, touching=bool(joined[inside].mean() >= TOUCHING))
    if zero is None:
        return None
    clear = inside | (radius > 1 + OUTLIER) if zero else joined & ~inside
    cleared = contrast.copy()
    cleared[rows, columns][y[clear], x[clear]] = 0
    return cleared, zero


def _loose_slash(parts: Components, outer: int) -> np.ndarray | None:
    """Find a slash that touches nothing in a ring, not a circle, not a cell: bool (h,w); None without one."""
    heavy = parts.weight > LEAST_INK * parts.weight[outer]
    if heavy.sum() != 2 or not heavy[outer]:
        return None
    bar, ring = (
        parts.mask(heavy & (np.arange(len(parts)) != outer)),
        parts.mask(np.arange(len(parts)) == outer),
    )
    points, around = (np.stack(np.nonzero(mask)[::-1]).astype(float) for mask in (bar, ring))
    middle = points.mean(axis=1, keepdims=True)
    axes = np.linalg.eigh((points - middle) @ (points - middle).T)[1]
    across, along = axes.T @ (points - middle)
    length, thick = np.ptp(along) + 1, np.ptp(across) + 1
    turn = np.degrees(np.arctan2(*np.abs(axes[:, 1])))
    straight = thick < SLENDER * length and length * thick < FULL * points.shape[1]
    if not (straight and ONE <= turn <= 90 - ONE):
        return None
    across, along = axes.T @ (around - middle)
    before, after = (along[(np.abs(across) < thick / 2) & (sign * along > 0)] for sign in (-1, 1))
    if not (len(before) and len(after)) or length < LOOSE_LENGTH * (after.min() - before.max()):
        return None
    ellipse = _ellipse(parts, outer)
    circle = ellipse is not None and ellipse.elongation < ROUND
    return None if circle or cell_lines(ring[parts.window(outer)]) is not None else bar


def _is_zero(bar: Bar | None, ellipse: Ellipse, *, touching: bool) -> bool | None:
    """Tell a 0 with a slash from a digit in a circle that may touch it; None where it may be either, or neither."""
    circle = ellipse.elongation < CIRCLE
    if bar is None:
        return False if circle else None
    alone = bar.share >= (ALONE if circle else ALONE_IN_ZERO) and bar.thick <= SLASH_THICK
    if not circle:
        return True if alone else None
    if ellipse.elongation < ROUND and not touching:
        return False
    if alone and bar.turn >= SLASH:
        return True
    # A 0 that leans or has a loop leaves some of its ink beside a slash.
    leaning = bar.turn >= ONE and (alone or (touching and bar.share >= MOSTLY))
    return None if leaning else False


def _ellipse(parts: Components, outer: int) -> Ellipse | None:
    """Find the ellipse on which nearly every row of a component begins and ends; None without one."""
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
    """Return where the rows of a component begin and end, of some rows: (2,n)."""
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
    """Fit the ellipse nearest to points (2,n), in least squares of its equation; None where it is none."""
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
    """Return the radius within which ink is no longer the ring's."""
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


def _bar(points: np.ndarray, ellipse: Ellipse, edge: float) -> Bar | None:
    """Find a straight bar from side to side of a ring among points (2,n) inside it; None without one."""
    inside = ellipse.unit @ (points - ellipse.middle[:, None])
    core = inside[:, np.hypot(*inside) < CORE]
    if core.shape[1] < 3:
        return None
    # It passes near the middle: the loop of a 6 does not.
    axes = np.linalg.eigh(core @ core.T)[1]
    across, along = axes.T @ inside
    own = np.abs(across) < SLASH_WIDTH
    length = float(np.ptp(along[own]))
    if length < 2 * SLASH_LENGTH * edge:
        return None
    x, y = np.linalg.solve(ellipse.unit, axes[:, 1])
    area = inside.shape[1] * abs(float(np.linalg.det(ellipse.unit)))
    return Bar(
        share=float(own.mean()),
        turn=float(np.degrees(np.arctan2(abs(x), abs(y)))),
        thick=area / length / ((1 - edge) / MARGIN),
    )
