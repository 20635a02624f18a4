"""Patterns are no digit, and digits beside each other still are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.preprocessing.pattern_scene import pattern
from capsnet import load
from capsnet.preprocessing.digits import segment_digits
from capsnet.preprocessing.local_background import stroke_contrast

ROOT = Path(__file__).resolve().parents[3]


def ones(count: int) -> Image.Image:
    """Draw equal ones in a row."""
    image = Image.new("L", (80 * count + 40, 220), 240)
    draw = ImageDraw.Draw(image)
    for number in range(count):
        draw.line((60 + 80 * number, 60, 55 + 80 * number, 160), 20, 12)
    return image


def test_few_patterns_are_accepted() -> None:
    model = load(ROOT / "artifacts" / "mnist")
    images = [pattern(np.zeros(0), np.random.default_rng([43, number]), 0) for number in range(150)]
    checks = [model.classify(image).reconstruction for image in images]
    assert sum(check is not None and check.accepted for check in checks) <= 0.05 * len(images)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 12])
def test_five_equal_bars_or_more_are_a_pattern(count: int) -> None:
    found = segment_digits(*stroke_contrast(np.asarray(ones(count))))
    assert (found is None) == (count >= 5)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_a_row_of_ones_is_read(count: int) -> None:
    result = load(ROOT / "artifacts" / "mnist").read(ones(count))
    assert [each.label for each in result.digits] == ["1"] * count


@pytest.mark.parametrize("label", range(10))
def test_one_of_many_equal_digits_is_read(label: int) -> None:
    image = Image.new("L", (700, 160), 240)
    ImageDraw.Draw(image).text((350, 80), str(label) * 8, fill=20, anchor="mm", font_size=100)
    found = segment_digits(*stroke_contrast(np.asarray(image)))
    assert found is not None or label == 1
