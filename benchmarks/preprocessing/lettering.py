"""Draw digits as people letter them: outlines, up-strokes, slashes and bars, underlines, circles, crossed out."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.preprocessing.noise import noise
from benchmarks.preprocessing.pen import Trace, ink, trace
from benchmarks.preprocessing.screen import encode, loops


def outline(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a bubble digit: only its contour, empty or filled with a colour that is fainter than the contour."""
    size = _size(rng)
    digit, tall, middle = _placed(row, size, rng)
    positions = digit.points * tall + middle
    for share in (0.2, 0.17, 0.14, 0.12):
        body = ink(positions, size, share * tall, rng, uneven=0.0)
        if loops(body) == loops(ink(positions, size, 0.04 * tall, rng, uneven=0.0)):
            break
    line = max(1.6, rng.uniform(0.012, 0.04) * tall)
    soft = _widened(body, line) - _widened(body, -line)
    contour = np.clip(soft, 0, 1)
    paper, dark = rng.uniform(0.75, 1), rng.uniform(0, 0.35)
    values = np.full(body.shape, paper)
    if rng.random() < 0.4:
        values += body * rng.uniform(0.05, 0.45) * (dark - paper)
    values += contour * (dark - values)
    return _finished(values, rng)


def european_one(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a 1 with an up-stroke of 25 to 60 % of its height, upright or leaning, sometimes with a foot."""
    size, tip = _size(rng), rng.uniform(0.05, 0.12)
    lean, reach = rng.uniform(-0.05, 0.3), rng.uniform(0.25, 0.6)
    angle = np.radians(rng.uniform(25, 60))  # between the up-stroke and the vertical
    top, foot = np.array([lean / 2, -0.5]), np.array([-lean / 2, 0.5])
    start = top + reach * np.array([-np.sin(angle), np.cos(angle)])
    lines = [(start, top), (top, foot)]
    if rng.random() < 0.2:
        half = np.array([0.2, 0])
        lines.append((foot - half, foot + half))
    return _stroked(lines, size, tip, rng)


def slashed_zero(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a 0 with a slash through it, inside or a little beyond its ring."""
    digit = trace(row)
    angle, reach = np.radians(rng.uniform(20, 50)), rng.uniform(0.4, 0.62)
    end = reach * np.array([np.sin(angle), -np.cos(angle)]) * (min(1.0, digit.width + 0.2), 1)
    return _written(digit.points, [(-end, end)], rng)


def barred_seven(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a 7 with a bar through its stem."""
    points = trace(row).points
    height = rng.uniform(-0.1, 0.15)
    stem = points[np.abs(points[:, 1] - height) < 0.04]
    at = np.array([stem[:, 0].max() if len(stem) else 0.0, height])
    half = np.array([rng.uniform(0.14, 0.26), rng.uniform(-0.04, 0.04)])
    return _written(points, [(at - half, at + half)], rng)


def underlined(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a digit with one line or two below it, near or touching."""
    points = trace(row).points
    low, half = 0.5 + rng.uniform(0.0, 0.25), rng.uniform(0.35, 0.8)
    marks = []
    for number in range(rng.integers(1, 3)):
        y, tilt = low + number * rng.uniform(0.12, 0.2), rng.uniform(-0.06, 0.06)
        shift = rng.uniform(-0.1, 0.1)
        marks.append((np.array([shift - half, y - tilt]), np.array([shift + half, y + tilt])))
    return _written(points, marks, rng)


def circled(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a digit with a ring around it, which may be open or touch it."""
    points = trace(row).points
    reach = float(np.hypot(*points.T).max()) + rng.uniform(0.02, 0.3)
    t = np.linspace(0, 2 * np.pi * rng.uniform(0.9, 1.05), 300) + rng.uniform(0, 6)
    wave = reach * (1 + 0.04 * np.sin(2 * t + rng.uniform(0, 6)))[:, None]
    ring = np.stack([np.cos(t) * rng.uniform(0.9, 1.1), np.sin(t)], axis=1) * wave
    return _written(points, list(pairwise(ring)), rng, fits=1.5 * reach)


def crossed_out(row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw a digit that was struck out: one line, two, a cross or a zigzag over it."""
    points = trace(row).points
    half, kind = np.array([max(0.4, np.ptp(points[:, 0]) / 2 + 0.15), 0.5]), rng.integers(4)
    tilt = rng.uniform(-0.35, 0.35)
    ends = [(-half * (1, tilt), half * (1, tilt))]
    if kind == 1:
        shift = np.array([0, rng.uniform(0.12, 0.25)])
        ends = [(a + sign * shift / 2, b + sign * shift / 2) for a, b in ends for sign in (-1, 1)]
    if kind == 2:
        ends = [(-half, half), (half * (-1, 1), half * (1, -1))]
    if kind == 3:
        corners = np.stack([np.linspace(-1, 1, 8), np.tile([-0.7, 0.7], 4)], axis=1) * half
        ends = list(pairwise(corners))
    return _written(points, ends, rng)


Segment = tuple[np.ndarray, np.ndarray]


def _size(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(110, 600)), int(rng.integers(110, 600))


def _placed(
    row: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Trace, float, np.ndarray]:
    """Choose rotation, height in pixels and centre of a digit on a page."""
    digit = trace(row).turned(rng.uniform(-5, 5))
    tall = min(rng.uniform(0.45, 0.75) * size[1], 0.7 * size[0] / (digit.width + 0.2))
    free = np.maximum(np.array(size) / 2 - 0.62 * tall, 0)
    return digit, tall, np.array(size) / 2 + rng.uniform(-0.8, 0.8, 2) * free


def _stroked(lines: list[Segment], size: tuple[int, int], tip: float, rng: np.random.Generator) -> bytes:
    """Draw straight strokes alone, as high as a digit."""
    points = np.concatenate([_along(*line) for line in lines])
    points -= (points.min(axis=0) + points.max(axis=0)) / 2
    tall = min(rng.uniform(0.45, 0.8) * size[1], 0.8 * size[0] / (float(np.ptp(points[:, 0])) + tip))
    free = np.maximum(np.array(size) / 2 - np.ptp(points, axis=0) / 2 * tall - tip * tall - 2, 0)
    middle = np.array(size) / 2 + rng.uniform(-0.8, 0.8, 2) * free
    return _finished(_inked(ink(points * tall + middle, size, tip * tall, rng, uneven=0.05), rng), rng)


def _written(points: np.ndarray, marks: list[Segment], rng: np.random.Generator, fits: float = 1.0) -> bytes:
    """Draw a digit and marks with one pen; `fits` is how many digit heights must fit into the image's height."""
    size, tip = _size(rng), rng.uniform(0.05, 0.11)
    extra = np.concatenate([_along(*mark) for mark in marks])
    both = np.concatenate([points, extra])
    low, high = both.min(axis=0), both.max(axis=0)
    span = (high - low).tolist()
    tall = min(rng.uniform(0.5, 0.85) * size[1] / max(span[1], fits), 0.85 * size[0] / (span[0] + tip))
    free = np.maximum(np.array(size) / 2 - (high - low) / 2 * tall - tip * tall - 2, 0)
    middle = np.array(size) / 2 - (low + high) / 2 * tall + rng.uniform(-0.8, 0.8, 2) * free
    cover = ink(points * tall + middle, size, tip * tall, rng, uneven=0.05)
    other = ink(extra * tall + middle, size, tip * tall * rng.uniform(0.7, 1.1), rng, uneven=0.05)
    return _finished(_inked(np.maximum(cover, other), rng), rng)


def _along(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Place points along a line, close enough for a pen: (n,2)."""
    count = max(2, int(np.hypot(*(np.asarray(end) - start)) / 0.008))
    return np.asarray(start + np.linspace(0, 1, count)[:, None] * (np.asarray(end) - start))


def _inked(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    paper, dark = rng.uniform(0.7, 1), rng.uniform(0, 0.35)
    return np.asarray(paper + cover * (dark - paper))


def _widened(cover: np.ndarray, pixels: float) -> np.ndarray:
    """Move the contour of a cover (h,w) outwards by half of `pixels`, or inwards where it is negative."""
    image = Image.fromarray(np.round(cover * 255).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(abs(pixels))), np.float32) / 255
    level = 0.5 - 0.19 * np.sign(pixels)  # half of `pixels` from the contour, half a deviation
    return np.asarray(np.clip((soft - level) * abs(pixels) * 2 + 0.5, 0, 1))


def _finished(values: np.ndarray, rng: np.random.Generator) -> bytes:
    """Save as a PNG or a JPEG, sometimes as the negative."""
    size = (values.shape[1], values.shape[0])
    values = values + rng.uniform(0, 0.012) * noise(size, 1, rng)
    values = 1 - values if rng.random() < 0.2 else values
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.5:
        return encode(image)
    return encode(image.convert("RGB"), "JPEG", quality=int(rng.integers(65, 95)))
