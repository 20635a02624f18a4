"""Draw solid shapes without strokes, such as coins, leaves, hearts, drops, stones, stars, moons, arrows and clouds."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.preprocessing.empty_scene import finished, paper, random_size

Outline = Callable[[np.random.Generator], np.ndarray]  # points float (n,2), at most about 1 from the middle
ROUND = np.linspace(0, 2 * np.pi, 120, endpoint=False)
FINE = 4  # pixels of the drawing to one of the image, each way


def solid(_row: np.ndarray, rng: np.random.Generator, _label: int) -> bytes:
    """Draw one of the shapes, turned anyhow, on paper: from an eighth to nearly all of the image across."""
    size = random_size(rng, 100, 640)
    values = paper(size, rng)
    points = OUTLINES[rng.integers(len(OUTLINES))](rng)
    turn = rng.uniform(0, 2 * np.pi)
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points *= rng.uniform(0.06, 0.45) * min(size) / np.abs(points).max()
    image = Image.new("L", (FINE * size[0], FINE * size[1]))
    ImageDraw.Draw(image).polygon([tuple(FINE * (point + np.array(size) / 2)) for point in points], fill=255)
    cover = np.asarray(image.reduce(FINE)) / 255
    values += cover * (rng.uniform(0, 0.6) - values)
    return finished(values, rng)


def _polar(radius: np.ndarray, angle: np.ndarray = ROUND) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    return _polar(np.ones(len(ROUND))) * [1, rng.uniform(0.5, 1)]


def _half_moon(rng: np.random.Generator) -> np.ndarray:
    angle = np.linspace(0, rng.uniform(0.8, 1.3) * np.pi, 60)
    return _polar(np.ones(60), angle) - [0, 0.4]


def _crescent(rng: np.random.Generator) -> np.ndarray:
    angle = np.linspace(-2, 2, 60)
    outer = _polar(np.ones(60), angle)
    inner = (outer[::-1] - outer[0]) * [rng.uniform(0, 0.6), 1] + outer[0]
    return np.concatenate([outer, inner])


def _polygon(rng: np.random.Generator) -> np.ndarray:
    corners = rng.integers(3, 9)
    angle = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.2, 0.2, corners)) / corners
    return _polar(np.ones(corners), angle)


def _rectangle(rng: np.random.Generator) -> np.ndarray:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1, rng.uniform(0.5, 1)]


def _trapezoid(rng: np.random.Generator) -> np.ndarray:
    short = rng.uniform(0.2, 0.8)
    return np.array([[-1, 0.6], [1, 0.6], [short, -0.6], [-short, -0.6]])


def _star(rng: np.random.Generator) -> np.ndarray:
    points = 2 * rng.integers(4, 8)
    radius = np.where(np.arange(points) % 2, rng.uniform(0.35, 0.6), 1)
    return _polar(radius, 2 * np.pi * np.arange(points) / points)


def _heart(rng: np.random.Generator) -> np.ndarray:
    wide = rng.uniform(0.8, 1.2)
    lobes = 13 * np.cos(ROUND) - 5 * np.cos(2 * ROUND) - 2 * np.cos(3 * ROUND) - np.cos(4 * ROUND)
    return np.stack([wide * np.sin(ROUND) ** 3, -lobes / 16], axis=1)


def _drop(rng: np.random.Generator) -> np.ndarray:
    return np.stack([np.cos(ROUND), np.sin(ROUND) * np.sin(ROUND / 2) ** rng.uniform(1, 3)], axis=1)


def _leaf(rng: np.random.Generator) -> np.ndarray:
    return np.stack([np.cos(ROUND), rng.uniform(0.35, 0.7) * np.sin(ROUND) * np.abs(np.sin(ROUND))], axis=1)


def _stone(rng: np.random.Generator) -> np.ndarray:
    waves = [rng.normal(0, 0.2 / k) * np.cos(k * ROUND + rng.uniform(0, 2 * np.pi)) for k in range(2, 6)]
    return _polar(1 + np.sum(waves, axis=0))


def _cloud(rng: np.random.Generator) -> np.ndarray:
    return _polar(1 + rng.uniform(0.1, 0.3) * np.abs(np.sin(rng.integers(2, 5) * ROUND / 2))) * [1, 0.7]


def _arrow(rng: np.random.Generator) -> np.ndarray:
    shaft, head = rng.uniform(0.2, 0.4), rng.uniform(0, 0.4)
    half = np.array([[-1, -shaft], [head, -shaft], [head, -0.8], [1, 0]])
    return np.concatenate([half, half[2::-1] * [1, -1]])


def _cross(rng: np.random.Generator) -> np.ndarray:
    arm = rng.uniform(0.2, 0.45)
    corner = np.array([[arm, -1], [arm, -arm], [1, -arm]])
    quarter = np.array([[0, 1], [-1, 0]])
    return np.concatenate([corner @ np.linalg.matrix_power(quarter, turn) for turn in range(4)])


OUTLINES: tuple[Outline, ...] = (
    _ellipse,
    _half_moon,
    _crescent,
    _polygon,
    _rectangle,
    _trapezoid,
    _star,
    _heart,
    _drop,
    _leaf,
    _stone,
    _cloud,
    _arrow,
    _cross,
)
