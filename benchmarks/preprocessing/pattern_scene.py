"""Draw patterns without any digit: bars, stripes, waves, squares, dots, bricks, grids, blinds and wood."""

from collections.abc import Callable

import numpy as np

from benchmarks.preprocessing.empty_scene import finished, paper, random_size
from benchmarks.preprocessing.noise import stretched

Size = tuple[int, int]  # width and height, in pixels
Pattern = Callable[[Size, np.random.Generator], np.ndarray]  # cover float (h,w) in [0,1]


def pattern(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw one of the patterns, over the whole image or in a rectangle on paper."""
    size = random_size(rng, 100, 640)
    values = paper(size, rng)
    if rng.random() < 0.2:
        values *= 1 - rng.uniform(0.2, 0.8) * SHADES[rng.integers(len(SHADES))](size, rng)
        return finished(values, rng)
    cover = COVERS[rng.integers(len(COVERS))](size, rng)
    if rng.random() < 0.5:
        cover = cover * _window(size, rng)
    values += cover * (rng.uniform(0, 0.7) - values)
    return finished(values, rng)


def _barcode(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, _ = _turned(size, rng, 10)
    module = rng.uniform(0.006, 0.02) * size[0]
    count = int(np.ptp(across) / module) + 1
    widths = rng.integers(1, 5, count)
    bars = np.repeat(np.arange(count) % 2, widths)[:count].astype(float)
    return np.asarray(bars[np.minimum((across - across.min()) / module, count - 1).astype(int)])


def _stripes(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, _ = _turned(size, rng, 90)
    return _bands(across, rng.uniform(0.02, 0.3) * min(size), rng.uniform(0.15, 0.6), rng)


def _waves(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, along = _turned(size, rng, 90)
    period = rng.uniform(0.05, 0.25) * min(size)
    bent = across + period * rng.uniform(0.2, 1) * np.sin(along / period / rng.uniform(0.3, 2))
    return _bands(bent, period, rng.uniform(0.15, 0.6), rng)


def _squares(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, along = _turned(size, rng, rng.choice([3, 45]))
    side = rng.uniform(0.04, 0.3) * min(size)
    return np.asarray((np.floor(across / side) + np.floor(along / side)) % 2)


def _dots(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, along = _turned(size, rng, 45)
    period = rng.uniform(0.04, 0.25) * min(size)
    distance = np.hypot(across % period - period / 2, along % period - period / 2)
    return _edge(rng.uniform(0.15, 0.45) * period - distance, 1.5)


def _bricks(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, along = _turned(size, rng, 5)
    tall = rng.uniform(0.06, 0.25) * min(size)
    long, joint = tall * rng.uniform(1.5, 3), tall * rng.uniform(0.05, 0.2)
    shifted = (across + np.floor(along / tall) % 2 * long / 2) % long
    joints = ((along % tall <= joint) | (shifted <= joint)).astype(float)
    return np.asarray(joints if rng.random() < 0.5 else 1 - joints)


def _grid(size: Size, rng: np.random.Generator) -> np.ndarray:
    across, along = _turned(size, rng, 45)
    period, thickness = rng.uniform(0.04, 0.3) * min(size), rng.uniform(0.03, 0.3)
    return np.asarray(
        np.maximum(_bands(across, period, thickness, rng), _bands(along, period, thickness, rng))
    )


def _wood(size: Size, rng: np.random.Generator) -> np.ndarray:
    grain = 0.5 + 0.5 * stretched(size, rng.uniform(80, 500), rng.uniform(3, 30), rng)
    if rng.random() < 0.5:
        return np.asarray(0.5 + 0.5 * np.sin(grain * rng.uniform(6, 30)))
    return np.asarray(np.clip(grain, 0, 1))


def _blinds(size: Size, rng: np.random.Generator) -> np.ndarray:
    _, along = _turned(size, rng, 4)
    return np.asarray((along / (rng.uniform(0.04, 0.2) * size[1]) % 1) ** rng.uniform(0.5, 4))


COVERS: tuple[Pattern, ...] = (_barcode, _stripes, _waves, _squares, _dots, _bricks, _grid)
SHADES: tuple[Pattern, ...] = (_wood, _blinds)


def _turned(size: Size, rng: np.random.Generator, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's place (h,w) across and along a direction that is `most` degrees off the image's at most."""
    angle = np.radians(rng.uniform(-most, most))
    y, x = np.mgrid[: size[1], : size[0]]
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _bands(across: np.ndarray, period: float, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw bands that take a share of each period."""
    distance = np.abs((across / period + rng.random()) % 1 - 0.5) * period
    return _edge(share * period / 2 - distance, rng.uniform(0.7, 3))


def _edge(inside: np.ndarray, blur: float) -> np.ndarray:
    """Return the cover of what lies so many pixels inside an edge."""
    return np.clip(inside / blur + 0.5, 0, 1)


def _window(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return 1 in a rectangle and 0 around it."""
    inside = np.zeros((size[1], size[0]))
    (left, top), (wide, tall) = rng.uniform(0.05, 0.4, 2), rng.uniform(0.3, 0.55, 2)
    rows = slice(int(top * size[1]), int((top + tall) * size[1]))
    inside[rows, int(left * size[0]) : int((left + wide) * size[0])] = 1
    return inside
