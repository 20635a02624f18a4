"""Soft tones are no digit, and a digit out of focus still is one."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.preprocessing.empty_scene import soft_tones
from capsnet import load
from capsnet.config import InputSpec
from capsnet.preprocessing.pipeline import decode

ROOT = Path(__file__).resolve().parents[3]
INPUT = InputSpec(height=28, width=28, channels=1, preprocess="mnist")
TALL = 200  # pixels


def digit_out_of_focus(label: int, radius: float, *, ground: int, ink: int) -> bytes:
    """Draw a digit of `TALL` pixels and blur it: a PNG."""
    image = Image.new("L", (480, 400), ground)
    ImageDraw.Draw(image).text((240, 200), str(label), fill=ink, anchor="mm", font_size=TALL * 4 / 3)
    file = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(radius)).save(file, "PNG")
    return file.getvalue()


def test_soft_tones_are_not_accepted() -> None:
    model = load(ROOT / "artifacts" / "mnist")
    images = [soft_tones(np.zeros(0), np.random.default_rng([41, number]), 0) for number in range(120)]
    checks = [model.classify(image).reconstruction for image in images]
    assert sum(check is not None and check.accepted for check in checks) <= 0.03 * len(images)


@pytest.mark.parametrize(("ground", "ink"), [(245, 20), (200, 140), (30, 230), (60, 0)])
@pytest.mark.parametrize("radius", [0, 0.01 * TALL, 0.04 * TALL])
def test_a_digit_out_of_focus_is_not_taken_for_blank(radius: float, ground: int, ink: int) -> None:
    for label in range(10):
        assert decode(digit_out_of_focus(label, radius, ground=ground, ink=ink), INPUT).any(), label


@pytest.mark.parametrize("edge", [400, 600, 800])
def test_rounding_near_black_is_no_stroke(edge: int) -> None:
    y, x = np.mgrid[:edge, : edge * 4 // 3] * (200 / edge)
    file = io.BytesIO()
    Image.fromarray(np.stack([y, x * 3 / 4, (x + y) * 3 / 7], axis=2).astype(np.uint8)).save(file, "JPEG")
    assert not decode(file.getvalue(), INPUT).any()
