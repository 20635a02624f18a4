"""Symbols of one's own whose strokes lie apart: all of them reach the network."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from capsnet.config import InputSpec
from capsnet.preprocessing.digits import ObjectCount
from capsnet.preprocessing.pipeline import decode_uint8

SPEC = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
Draw = Callable[[ImageDraw.ImageDraw, int], None]


def bars(*rows: int) -> Draw:
    def draw(pen: ImageDraw.ImageDraw, width: int) -> None:
        for row in rows:
            pen.line((50, row, 150, row), fill=20, width=width)

    return draw


def rings(*boxes: Sequence[int], plus: bool = False) -> Draw:
    def draw(pen: ImageDraw.ImageDraw, width: int) -> None:
        for box in boxes:
            pen.ellipse(box, outline=20, width=width)
        if plus:
            pen.line((100, 70, 100, 130), fill=20, width=width)
            pen.line((70, 100, 130, 100), fill=20, width=width)

    return draw


def dots(*centres: tuple[int, int], stem: bool = False) -> Draw:
    def draw(pen: ImageDraw.ImageDraw, width: int) -> None:
        for x, y in centres:
            pen.ellipse((x - width, y - width, x + width, y + width), fill=20)
        if stem:
            pen.line((100, 80, 100, 160), fill=20, width=width)

    return draw


PAIRS = {
    "minus and equals": (bars(100), bars(80, 120)),
    "two and three bars": (bars(60, 140), bars(60, 100, 140)),
    "l and i": (dots(stem=True), dots((100, 45), stem=True)),
    "point and colon": (dots((100, 100)), dots((100, 60), (100, 140))),
    "ring and two rings": (rings((65, 65, 135, 135)), rings((20, 65, 90, 135), (110, 65, 180, 135))),
    "ring and ring around another": (
        rings((25, 25, 175, 175)),
        rings((25, 25, 175, 175), (75, 75, 125, 125)),
    ),
    "plus and plus in a ring": (rings(plus=True), rings((25, 25, 175, 175), plus=True)),
}


def read(draw: Draw, seed: int, counted: ObjectCount | None = None, *, specks: int = 0) -> np.ndarray:
    """Draw on an uneven sheet with one of several pens, and decode: int (28,28)."""
    random = np.random.default_rng(seed)
    image = Image.new("L", (200, 200), 245)
    draw(ImageDraw.Draw(image), int(random.integers(6, 11)))
    pen = ImageDraw.Draw(image)
    for x, y in random.integers(10, 190, (specks, 2)).tolist():
        pen.point((x, y), fill=60)
    shadow = np.linspace(1, 1 - 0.2 * random.random(), 200)
    values = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7))) * shadow + random.normal(
        0, 2, (200, 200)
    )
    file = io.BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    pixels: np.ndarray = decode_uint8(file.getvalue(), SPEC, digits=False, counted=counted)[0].astype(int)
    return pixels


def extent(values: np.ndarray) -> np.ndarray:
    """Return height and width of a drawing."""
    return np.array([np.ptp(np.flatnonzero((values > 100).any(axis=axis))) for axis in (1, 0)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PAIRS)
def test_symbols_that_differ_in_a_separate_stroke_differ(name: str, seed: int) -> None:
    counted = ObjectCount()
    one, other = read(PAIRS[name][0], seed), read(PAIRS[name][1], seed, counted)
    assert np.sqrt(np.square(one - other).mean()) > 20
    assert counted.found == 1


@pytest.mark.parametrize("name", PAIRS)
def test_specks_are_no_strokes_of_a_symbol(name: str) -> None:
    clean, speckled = (extent(read(PAIRS[name][1], 7, specks=specks)) for specks in (0, 12))
    assert np.abs(clean - speckled).max() <= 1


def test_bars_that_lie_close_are_not_joined() -> None:
    column = read(bars(80, 100, 120), 1)[:, 14]
    assert np.flatnonzero(np.diff((column > 128).astype(int)) == 1).size == 3
