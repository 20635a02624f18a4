"""Strokes are measured as Morpho-MNIST measures them."""

from pathlib import Path

import numpy as np
import pytest
from skimage.transform import pyramid_expand

from training.data.datasets import DatasetPart, load
from training.evaluation.morphology import PROPERTIES, enlarge, measure

# Area, length, thickness, slant, width and height of training image 0, with what may lie between two skeletons.
PUBLISHED = {
    "area": (107.3, 0.01),
    "length": (50.3, 0.06),
    "thickness": (2.46, 0.03),
    "slant": (0.231, 0.01),
    "width": (14.5, 0.01),
    "height": (19.9, 0.01),
}


def measured(image: np.ndarray) -> dict[str, float]:
    return dict(zip(PROPERTIES, measure(image[None])[0].tolist(), strict=True))


@pytest.mark.data
def test_the_first_training_image_measures_what_morpho_mnist_says(data_folder: Path) -> None:
    image = load("mnist", "train", data_folder).images[0, 0] / 255
    found = measured(image)
    for name, (value, tolerance) in PUBLISHED.items():
        assert found[name] == pytest.approx(value, rel=tolerance), name


def bar(x: int = 12, thickness: int = 3, lean: float = 0.0) -> np.ndarray:
    """A stroke 16 pixels high; its top leans to the right by so many pixels a row."""
    image = np.zeros((28, 28))
    for row in range(6, 22):
        left = round(x + lean * (13.5 - row))
        image[row, left : left + thickness] = 1
    return image


def test_properties_of_a_bar_are_those_it_was_drawn_with() -> None:
    upright, thick, leaning, moved = (
        measured(image) for image in (bar(), bar(thickness=5), bar(lean=0.5), bar(x=15))
    )
    assert upright["thickness"] == pytest.approx(3, abs=0.5)
    assert thick["thickness"] - upright["thickness"] == pytest.approx(2, abs=0.5)
    assert upright["height"] == pytest.approx(16, abs=1)
    assert upright["area"] == pytest.approx(48, abs=2)
    assert abs(upright["slant"]) < 1e-6
    assert leaning["slant"] == pytest.approx(np.arctan(0.5), abs=0.05)
    assert leaning["width"] == pytest.approx(upright["width"], abs=0.7)  # of the bar sheared upright
    assert moved["horizontal shift"] - upright["horizontal shift"] == pytest.approx(3, abs=1e-4)
    assert upright["vertical shift"] == pytest.approx(0, abs=1e-4)


def test_images_are_enlarged_as_scikit_image_does_it(digits: DatasetPart) -> None:
    images = digits.images[:3, 0] / 255
    for image, large in zip(images, enlarge(images), strict=True):
        np.testing.assert_allclose(large, pyramid_expand(image, 4, order=3), atol=1e-9)


def test_neighbours_in_a_batch_change_nothing_and_a_blank_has_no_properties(digits: DatasetPart) -> None:
    images = digits.images[:6, 0] / 255
    images[2] = 0
    together = measure(images)
    assert np.isnan(together[2]).all()
    assert np.isfinite(np.delete(together, 2, axis=0)).all()
    alone = np.concatenate([measure(image[None]) for image in images])
    # Where a skeleton may run either way, chance decides, and a batch has one run of it.
    np.testing.assert_allclose(together, alone, rtol=0.03, atol=1e-6)
