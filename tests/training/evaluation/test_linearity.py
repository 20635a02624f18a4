"""A straight way is told from a bent one, and a way that all images share from ways of their own."""

import numpy as np
import pytest

from training.evaluation.linearity import measure_linearity


class Place:
    """A model whose vector for the one class is where the light is, bent by a function."""

    def __init__(self, bent: bool) -> None:
        self.bent = bent

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        light = images[:, 0].sum(axis=1)  # (N,W)
        across = (light * np.arange(28)).sum(axis=1) / light.sum(axis=1) - 13.5  # (N,)
        vector = np.stack([across, np.abs(across) if self.bent else 2 * across], axis=1)
        return np.full((len(images), 1), 0.9, np.float32), vector[:, None].astype(np.float32)

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def test_a_bent_way_scores_less_than_a_straight_one() -> None:
    images = np.zeros((6, 1, 28, 28), np.float32)
    for row, image in enumerate(images):
        image[0, 8 : 15 + row, 12:16] = 1
    labels = np.zeros(6, np.int64)
    straight, bent = (measure_linearity(Place(each), images, labels, "shift_x") for each in (False, True))
    assert straight.line == pytest.approx(1, abs=1e-3)
    assert straight.common == pytest.approx(1, abs=1e-3)
    assert straight.shortest == pytest.approx(0.9)
    assert bent.common == pytest.approx(0.5, abs=1e-3)  # the half that goes along
    assert 0.7 < bent.line < 0.9
