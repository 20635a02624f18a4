"""Images are turned, slanted, scaled, thickened and moved by what was asked, in the direction that is said."""

import numpy as np
import pytest

from capsnet.transforms import PROPERTIES, transform
from training.evaluation.morphology import PROPERTIES as MEASURED
from training.evaluation.morphology import measure


def bar() -> np.ndarray:
    """An upright stroke (1,1,28,28), four pixels wide and sixteen high."""
    image = np.zeros((1, 1, 28, 28), np.float32)
    image[:, :, 6:22, 12:16] = 1
    return image


def measured(image: np.ndarray, name: str) -> float:
    return float(measure(image[:, 0])[0, MEASURED.index(name)])


@pytest.mark.parametrize(
    ("name", "amount", "seen", "change", "tolerance"),
    [
        ("slant", 15.0, "slant", np.radians(15), 0.02),
        ("rotation", 10.0, "slant", np.radians(10), 0.03),  # clockwise: the upper end goes to the right
        ("width", 50.0, "width", 2.0, 0.3),
        ("height", 25.0, "height", 4.0, 0.4),
        ("size", -25.0, "height", -4.0, 0.4),
        ("weight", 1.0, "area", 21.0, 4.0),
        ("weight", -1.0, "area", -19.0, 4.0),
        ("shift_x", 2.0, "horizontal shift", 2.0, 0.05),
        ("shift_y", -1.5, "vertical shift", -1.5, 0.05),
    ],
)
def test_the_measured_change_is_the_one_that_was_asked(
    name: str, amount: float, seen: str, change: float, tolerance: float
) -> None:
    moved = transform(bar(), name, amount)
    assert moved.shape == (1, 1, 28, 28)
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert measured(moved, seen) - measured(bar(), seen) == pytest.approx(change, abs=tolerance)


@pytest.mark.parametrize("name", PROPERTIES)
def test_nothing_is_changed_by_nothing_and_little_by_little(name: str) -> None:
    np.testing.assert_array_equal(transform(bar(), name, 0.0), bar())
    assert np.abs(transform(bar(), name, 1e-3) - bar()).max() < 0.05


def test_colours_are_transformed_alike() -> None:
    image = np.repeat(bar(), 3, axis=1)
    moved = transform(image, "rotation", 20.0)
    np.testing.assert_array_equal(moved[:, 0], moved[:, 2])
