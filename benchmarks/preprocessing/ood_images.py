"""Make out-of-distribution images, and the network's inputs for them.

The two sets share no font and no kind of line: `REPORTED` is for the figures in docs/images.md, `DEVELOPED` for the
choice of the guard's formula.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.preprocessing.noise import noise as smooth_noise
from benchmarks.preprocessing.screen import encode
from capsnet.config import InputSpec
from capsnet.preprocessing.pipeline import decode_uint8

SIZE = 28
CANVAS = 280
LETTERS = "ACDEFHJKMNPRTUVWXY"  # without O, I, S, Z, B, G, L and Q, which can be digits

Maker = Callable[[np.random.Generator], np.ndarray]  # a grey image, uint8 (h,w)


def make(kind: Maker, count: int, seed: int, spec: InputSpec) -> np.ndarray:
    """Return the network's inputs for `count` images of a kind: uint8 (count,28,28)."""
    drawn = (kind(np.random.default_rng((seed, number))) for number in range(count))
    return np.stack([decode_uint8(encode(Image.fromarray(image)), spec)[0] for image in drawn])


def uniform(rng: np.random.Generator) -> np.ndarray:
    """Draw every pixel independently, up to a random brightness."""
    return rng.integers(0, rng.integers(64, 257), (SIZE, SIZE)).astype(np.uint8)


def salt(rng: np.random.Generator) -> np.ndarray:
    """Draw white specks, from one in twenty pixels to one in two."""
    return np.where(rng.random((SIZE, SIZE)) < rng.uniform(0.05, 0.5), 255, 0).astype(np.uint8)


def gaussian(rng: np.random.Generator) -> np.ndarray:
    """Draw normal noise about black or grey."""
    values = rng.choice([0.0, 0.5]) + rng.uniform(0.1, 0.5) * rng.standard_normal((SIZE, SIZE))
    return _bytes(values)


def clouds(rng: np.random.Generator) -> np.ndarray:
    """Draw smooth noise with grains of two to six pixels."""
    return _bytes(0.5 + 0.5 * smooth_noise((SIZE, SIZE), rng.uniform(2, 6), rng))


def blank(rng: np.random.Generator) -> np.ndarray:
    """Draw one uniform tone."""
    return np.full((SIZE, SIZE), rng.choice([0, 0, 128, 255]), np.uint8)


def nearly_blank(rng: np.random.Generator) -> np.ndarray:
    """Draw black with faint grain, a few specks, or one dot."""
    image = np.abs(rng.normal(0, rng.uniform(0, 8), (SIZE, SIZE)))
    for _ in range(rng.integers(0, 4)):
        y, x = rng.integers(0, SIZE - 2, 2)
        side = rng.integers(1, 3)
        image[y : y + side, x : x + side] = rng.integers(100, 256)
    return np.clip(image, 0, 255).astype(np.uint8)


def scribble(rng: np.random.Generator) -> np.ndarray:
    """Draw a line that winds back and forth and crosses itself."""
    t = np.linspace(0, 2 * np.pi, 600)
    waves = int(rng.integers(4, 8))  # the fastest of each axis
    path = np.zeros((len(t), 2))
    for axis in range(2):
        for wave in {1, int(rng.integers(2, waves)), waves - axis}:
            path[:, axis] += rng.uniform(0.3, 1) * np.sin(wave * t + rng.uniform(0, 2 * np.pi))
    part = int(rng.integers(350, 600))
    return _drawn([_within(path[:part])], int(rng.integers(10, 24)))


def zigzag(rng: np.random.Generator) -> np.ndarray:
    """Draw a hasty line between random points."""
    points = rng.uniform(30, CANVAS - 30, (rng.integers(6, 16), 2))
    return _drawn([points], int(rng.integers(8, 24)))


def wander(rng: np.random.Generator) -> np.ndarray:
    """Draw a line whose heading changes at random."""
    count = int(rng.integers(150, 500))
    bend = np.clip(np.cumsum(rng.normal(0, 0.012, count)) + rng.normal(0, 0.05), -0.2, 0.2)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bend)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    return _drawn([_within(path)], int(rng.integers(10, 24)))


def coil(rng: np.random.Generator) -> np.ndarray:
    """Draw loops in a row, as when testing a pen."""
    t = np.linspace(0, 2 * np.pi * rng.uniform(2.5, 6), 600)
    along = rng.uniform(0.05, 0.4) * t + rng.uniform(0.5, 1.5) * np.cos(t)
    swell = 1 + 0.3 * np.sin(rng.uniform(0.1, 0.5) * t + rng.uniform(0, 6))
    return _turned(along, rng.uniform(0.7, 1.5) * np.sin(t) * swell, rng)


def hatching(rng: np.random.Generator) -> np.ndarray:
    """Draw back and forth, as when striking out or blackening."""
    count = int(rng.integers(5, 14))
    along = np.linspace(0, 1, count) + rng.normal(0, 0.03, count)
    across = np.arange(count) % 2 + rng.normal(0, 0.12, count)
    return _turned(along * rng.uniform(0.3, 1.2), across, rng)


def shape(rng: np.random.Generator) -> np.ndarray:
    """Draw a filled or outlined polygon or ellipse, a star, a cross, or a grid."""
    image = Image.new("L", (CANVAS, CANVAS), 255)
    pen = ImageDraw.Draw(image)
    width = int(rng.integers(8, 28))
    kind = rng.integers(4)
    corners = int(rng.integers(3, 8))
    angles = rng.uniform(0, 2 * np.pi) + np.arange(2 * corners) * np.pi / corners
    if kind == 0:  # a polygon
        points = [tuple(140 + 95 * np.array([np.cos(a), np.sin(a)])) for a in angles[::2]]
        pen.polygon(points, fill=0 if rng.random() < 0.5 else None, outline=0, width=width)
    elif kind == 1:  # a star
        reach = np.where(np.arange(2 * corners) % 2, rng.uniform(25, 55), 100)
        points = [
            tuple(140 + r * np.array([np.cos(a), np.sin(a)])) for a, r in zip(angles, reach, strict=True)
        ]
        pen.polygon(points, fill=0 if rng.random() < 0.5 else None, outline=0, width=width)
    elif kind == 2:  # spokes
        for a in angles[::2]:
            pen.line([140, 140, 140 + 100 * np.cos(a), 140 + 100 * np.sin(a)], fill=0, width=width)
    else:  # a filled ellipse or a grid
        w, h = rng.uniform(40, 110, 2)
        if rng.random() < 0.5:
            pen.ellipse([140 - w, 140 - h, 140 + w, 140 + h], fill=0)
        else:
            for t in np.linspace(-1, 1, int(rng.integers(2, 5))):
                pen.line([140 + t * w, 140 - h, 140 + t * w, 140 + h], fill=0, width=width)
                pen.line([140 - w, 140 + t * h, 140 + w, 140 + t * h], fill=0, width=width)
    return np.asarray(image)


def letter(fonts: Sequence[str | None], rng: np.random.Generator) -> np.ndarray:
    """Draw a printed capital, bent and slanted like handwriting; None is Pillow's own font."""
    name = fonts[int(rng.integers(len(fonts)))]
    height = int(rng.integers(150, 210))
    font = ImageFont.load_default(height) if name is None else ImageFont.truetype(_font_file(name), height)
    image = Image.new("L", (CANVAS, CANVAS), 0)
    pen = ImageDraw.Draw(image)
    thicken = int(rng.integers(0, 5))
    pen.text(
        (CANVAS // 2, CANVAS // 2),
        LETTERS[rng.integers(len(LETTERS))],
        255,
        font,
        anchor="mm",
        stroke_width=thicken,
    )
    return 255 - _bent(np.asarray(image), rng)


def _bent(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate an image by up to 10 degrees, slant, stretch and warp it by a smooth field."""
    angle = np.radians(rng.uniform(-10, 10))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, 0], [rng.uniform(-0.25, 0.25), 1]]) @ np.diag(rng.uniform(0.85, 1.25, 2))
    grid = np.mgrid[:CANVAS, :CANVAS] - CANVAS / 2
    field = np.stack([smooth_noise((CANVAS, CANVAS), 60, rng) for _ in range(2)])
    positions = np.tensordot(matrix, grid, 1) + CANVAS / 2 + rng.uniform(2, 8) * field
    return _sampled(image, positions)


def _sampled(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate an image at positions (2,h,w), y before x; use the nearest pixel beyond its edges."""
    positions = np.clip(positions, 0, CANVAS - 1.001)
    (y, x), (dy, dx) = positions.astype(int), positions % 1
    above = image[y, x] * (1 - dx) + image[y, x + 1] * dx
    below = image[y + 1, x] * (1 - dx) + image[y + 1, x + 1] * dx
    return np.asarray(np.round(above * (1 - dy) + below * dy).astype(np.uint8))


def _within(path: np.ndarray) -> np.ndarray:
    """Scale a path (n,2) into the canvas."""
    low, high = path.min(0), path.max(0)
    scale = 200 / max(1e-6, float((high - low).max()))
    return np.asarray((path - (low + high) / 2) * scale + CANVAS / 2)


def _turned(along: np.ndarray, across: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a path in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return _drawn([_within(np.stack([along, across], axis=1) @ turn)], int(rng.integers(10, 24)))


def _drawn(paths: Sequence[np.ndarray], width: int) -> np.ndarray:
    image = Image.new("L", (2 * CANVAS, 2 * CANVAS), 255)
    pen = ImageDraw.Draw(image)
    for path in paths:
        pen.line([tuple(2 * point) for point in path], 0, 2 * width, joint="curve")
    return np.asarray(image.resize((CANVAS, CANVAS), Image.Resampling.BOX))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))


def _font_file(name: str) -> str:
    """Return the file of a font that matplotlib includes."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")


FONTS = (
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    *("STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)

REPORTED: dict[str, Maker] = {
    "noise: uniform": uniform,
    "noise: clouds": clouds,
    "letters": partial(letter, FONTS),
    "scribbles": scribble,
    "blank": blank,
    "nearly blank": nearly_blank,
}
DEVELOPED: dict[str, Maker] = {
    "noise: gaussian": gaussian,
    "noise: salt": salt,
    "letters": partial(letter, (None,)),
    "zigzags": zigzag,
    "wandering lines": wander,
    "coils": coil,
    "hatching": hatching,
    "shapes": shape,
}
