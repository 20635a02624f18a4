"""Draw a data-set digit again with a pen: follow the centre lines of the row, at any size with any tip.

A row shows strokes of about an eighth of the digit's height, with one pixel of blur. Enlarging it gives a felt pen at
best; a pencil needs the lines themselves.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import distance_transform_edt, label

FINE = 6  # fine pixels a row's pixel while the centre lines are sought
INSIDE = 110  # of 255: the level at which a row's strokes have their width
BESIDE = 1.2  # usual half widths of a stroke: ink farther from the centre line is not part of a line


@dataclass(frozen=True)
class Trace:
    """Centre lines of a digit: points (n,2), x before y, in units of its height, the middle of its extent at (0,0)."""

    points: np.ndarray

    def turned(self, degrees: float) -> "Trace":
        """Return the trace rotated clockwise about the middle."""
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return Trace(self.points @ turn.T)

    @property
    def width(self) -> float:
        """Return the width of the digit, in units of its height."""
        return float(np.ptp(self.points[:, 0]))


def trace(row: np.ndarray) -> Trace:
    """Return the centre lines of a data-set row uint8 (28,28)."""
    return Trace(_centre_lines(row.tobytes()))


@lru_cache(maxsize=1024)
def _centre_lines(row: bytes) -> np.ndarray:
    y, x = np.nonzero(_skeleton(row)[1])
    points = np.stack([x, y], axis=1).astype(float)
    low, high = points.min(axis=0), points.max(axis=0)
    # A digit as wide as a dash is measured by its width.
    height = max(high[1] - low[1], (high[0] - low[0]) / 1.6, FINE)
    return np.asarray((points - (low + high) / 2) / height)


@lru_cache(maxsize=1024)
def _skeleton(row: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return a row's strokes, enlarged, and their centre lines: both bool (h,w)."""
    side = 28 * FINE
    pixels = Image.fromarray(np.frombuffer(row, np.uint8).reshape(28, 28))
    strokes = np.asarray(pixels.resize((side, side), Image.Resampling.BICUBIC)) > INSIDE
    return strokes, thinned(strokes.copy())


def undrawn_share(row: np.ndarray) -> float:
    """Return the largest piece of a row's ink that a line along its strokes leaves out, over all of its ink.

    A loop that ink has filled is such a piece: its centre line is a stroke, and a 9 may become of an 8.
    """
    strokes, lines = _skeleton(row.tobytes())
    usual = np.median(distance_transform_edt(strokes)[lines])
    beyond = strokes & (distance_transform_edt(~lines) > BESIDE * usual)
    pieces, _ = label(beyond)
    return float(np.bincount(pieces[beyond], minlength=2)[1:].max() / strokes.sum())


def thinned(mask: np.ndarray) -> np.ndarray:
    """Return lines one pixel wide (Zhang and Suen 1984): bool (h,w)."""
    mask = np.pad(mask, 1)
    while True:
        before = int(mask.sum())
        for first in (True, False):
            mask[1:-1, 1:-1] &= ~_removable(mask, first)
        if int(mask.sum()) == before:
            return mask[1:-1, 1:-1]


def _removable(mask: np.ndarray, first: bool) -> np.ndarray:
    """Return the pixels of the rim that can go without breaking a line; `first` names the half-step."""
    n, ne, e, se = mask[:-2, 1:-1], mask[:-2, 2:], mask[1:-1, 2:], mask[2:, 2:]
    s, sw, w, nw = mask[2:, 1:-1], mask[2:, :-2], mask[1:-1, :-2], mask[:-2, :-2]
    ring = [n, ne, e, se, s, sw, w, nw]
    neighbours = sum(side.astype(np.uint8) for side in ring)
    rises = sum((~a & b).astype(np.uint8) for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    gone = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
    return np.asarray((neighbours >= 2) & (neighbours <= 6) & (rises == 1) & gone)


def ink(
    positions: np.ndarray,
    size: tuple[int, int],
    width: float,
    rng: np.random.Generator,
    *,
    uneven: float = 0.15,
) -> np.ndarray:
    """Return the stroke of a round tip through positions (n,2) in pixels: float32 (h,w), 1 on the stroke.

    Parameters
    ----------
    positions
        Points of the line, x before y.
    size
        Width and height of the image.
    width
        Width of the tip, in pixels.
    uneven
        Relative change of the width along the line: pressure.
    """
    border = int(width) + 8
    low = np.floor(positions.min(axis=0)).astype(int) - border
    high = np.ceil(positions.max(axis=0)).astype(int) + border
    # A thin line is drawn larger, so that its edge is smooth, and so that the ground beside it is black.
    fine = 1 if width >= 12 else max(2, math.ceil(2.4 / width))
    canvas = Image.new("L", [int(edge) for edge in (high - low) * fine])
    pen = ImageDraw.Draw(canvas)
    pressure = 1 + uneven * _pressure(positions / max(np.ptp(positions, axis=0).max(), 1), rng)
    for (x, y), factor in zip((positions - low) * fine, pressure, strict=True):
        radius = width * fine * factor / 2
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    # Smooth the steps of the centre line's pixels, and sharpen the edge again.
    soft = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.35 * width * fine)), np.float32) / 255
    edge = np.clip((soft - 0.5) * 0.9 * width * fine / 2 + 0.5, 0, 1)
    small = Image.fromarray(edge).reduce(fine) if fine > 1 else Image.fromarray(edge)
    return _laid(np.asarray(small), (int(low[0]), int(low[1])), size)


def _pressure(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a slow wave over the plane, in [-1,1]."""
    direction, phase = rng.normal(size=2) * 4, rng.uniform(0, 2 * np.pi, 2)
    return np.asarray(
        (np.sin(points @ direction + phase[0]) + np.sin(points @ direction[::-1] * 1.7 + phase[1])) / 2
    )


def _laid(piece: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Place a piece on an empty image, and cut it at the edges."""
    left, top = corner
    whole = np.zeros(size[::-1], np.float32)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + piece.shape[1], size[0]), min(top + piece.shape[0], size[1])
    if x1 > x0 and y1 > y0:
        whole[y0:y1, x0:x1] = piece[y0 - top : y1 - top, x0 - left : x1 - left]
    return whole
