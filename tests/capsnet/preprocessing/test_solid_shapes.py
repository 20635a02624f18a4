"""Shapes without strokes are no digit, small or large, and thick digits still are."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.preprocessing.measure import SPECS
from benchmarks.preprocessing.solid_scene import OUTLINES, Outline, solid
from capsnet import load
from capsnet.preprocessing.digits import segment_digits
from capsnet.preprocessing.local_background import stroke_contrast
from capsnet.preprocessing.pipeline import decode_uint8
from capsnet.preprocessing.refused_shapes import is_part, is_solid

ROOT = Path(__file__).resolve().parents[3]


def segmented(image: Image.Image) -> np.ndarray | None:
    grey = np.asarray(image)
    return segment_digits(*stroke_contrast(grey), grey=grey)


def test_few_solid_shapes_are_accepted() -> None:
    model = load(ROOT / "artifacts" / "mnist")
    images = [solid(np.zeros(0), np.random.default_rng([47, number]), 0) for number in range(150)]
    checks = [model.classify(image).reconstruction for image in images]
    assert sum(check is not None and check.accepted for check in checks) <= 0.03 * len(images)
    read = [any(digit.accepted for digit in model.read(image).digits) for image in images]
    assert sum(read) <= 0.08 * len(images)


@pytest.mark.parametrize("shade", [30, 130])
@pytest.mark.parametrize("radius", [8, 20, 45, 70, 100])
def test_a_disc_of_any_size_is_no_digit(radius: int, shade: int) -> None:
    image = Image.new("L", (320, 240), 230)
    ImageDraw.Draw(image).ellipse((160 - radius, 120 - radius, 160 + radius, 120 + radius), fill=shade)
    assert segmented(image) is None
    assert segmented(Image.fromarray(255 - np.asarray(image))) is None


def test_a_coloured_disc_is_no_digit() -> None:
    image = Image.new("RGB", (500, 400), (235, 230, 220))
    ImageDraw.Draw(image).ellipse((150, 100, 330, 280), fill=(180, 120, 40))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert not decode_uint8(file.getvalue(), SPECS["digits"]).any()


@pytest.mark.parametrize("outline", OUTLINES)
def test_an_outline_lies_around_the_middle(outline: Outline) -> None:
    for seed in range(20):
        points = outline(np.random.default_rng(seed))
        assert points.shape[1] == 2
        assert 0.5 < np.abs(points).max() < 2


@pytest.mark.parametrize("weight", [0, 2, 5])
@pytest.mark.parametrize("label", range(10))
def test_a_bold_digit_is_one(label: int, weight: int) -> None:
    image = Image.new("L", (200, 200), 230)
    draw = ImageDraw.Draw(image)
    draw.text((100, 100), str(label), fill=40, anchor="mm", font_size=100, stroke_width=weight)
    assert segmented(image) is not None


@pytest.mark.parametrize("width", [0.05, 0.2, 0.4, 0.6])
def test_a_bar_is_solid_where_it_is_wider_than_a_1(width: float) -> None:
    assert is_solid(np.ones((100, round(100 * width)), bool)) == (width > 0.5)


def test_a_ring_is_not_solid() -> None:
    y, x = np.mgrid[:101, :101] - 50
    radius = np.hypot(x, y)
    assert is_solid(radius < 50)
    assert not is_solid((radius < 50) & (radius > 30))


def test_a_part_has_a_seam() -> None:
    grey = np.full((200, 200), 220, np.uint8)
    grey[50:150, 60:140] = 40
    inside = np.ones((100, 16), bool)
    assert is_part(grey, inside, 50, 60)  # its right side lies within the dark
    grey[:, 76:] = 220
    assert not is_part(grey, inside, 50, 60)


def test_a_1_that_the_edge_cuts_is_no_part() -> None:
    grey = np.full((200, 200), 220, np.uint8)
    grey[50:150, :16] = 40
    assert not is_part(grey, np.ones((100, 8), bool), 50, 8)
