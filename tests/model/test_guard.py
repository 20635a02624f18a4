import numpy as np
import pytest

from model import guard
from model.contract import Guard
from training.datasets import Split


def test_distance_is_euclidean_over_all_pixels(digits: Split) -> None:
    images = digits.images[:5].astype(np.float32) / 255
    drawn = digits.images[5:10].astype(np.float32) / 255
    expected = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(x.ravel(), y.ravel(), strict=True)) ** 0.5
        for x, y in zip(images, drawn, strict=True)
    ]
    np.testing.assert_allclose(guard.distance(images, drawn), expected, rtol=1e-5)
    assert guard.distance(images, images).tolist() == [0] * 5


def test_distance_of_no_images_is_empty() -> None:
    assert guard.distance(np.zeros((0, 1, 28, 28)), np.zeros((0, 1, 28, 28))).shape == (0,)


def test_distance_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 28, 28\) but reconstructions \(1, 1, 28, 28\)"):
        guard.distance(np.zeros((2, 1, 28, 28)), np.zeros((1, 1, 28, 28)))


def test_thresholds_refuse_one_in_twenty_of_each_class() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 2000)
    distances = random.gamma(4, 1 + labels)  # classes of different difficulty
    fitted = guard.fit(distances, labels, 3)
    for label in range(3):
        own = distances[labels == label]
        refused = [not guard.judge(fitted, float(d), label)[1] for d in own]
        assert np.mean(refused) == pytest.approx(0.05, abs=0.001)
        assert np.mean(own > fitted.p99[label]) == pytest.approx(0.01, abs=0.001)
    assert fitted.p95[0] < fitted.p95[1] < fitted.p95[2]


def test_a_rare_class_takes_the_threshold_of_all() -> None:
    distances = np.arange(100.0)
    labels = np.zeros(100, int)
    labels[:3] = 1  # the class 1 has three images, the class 2 none
    fitted = guard.fit(distances, labels, 3)
    assert fitted.p95[1:] == (np.percentile(distances, 95),) * 2
    assert fitted.p95[0] == np.percentile(distances[3:], 95)
    assert all(type(value) is float for value in fitted.p95 + fitted.p99)


def test_judge_takes_the_95th_percentile_of_the_label() -> None:
    thresholds = Guard(p95=(1.0, 2.0), p99=(3.0, 4.0))
    assert guard.judge(thresholds, 2.0, 1) == (2.0, True)
    assert guard.judge(thresholds, 2.0, 0) == (1.0, False)


@pytest.mark.parametrize(
    ("distances", "labels", "message"),
    [
        ([], [], "at least 1"),
        ([1.0, 2.0], [0], "2 distances and 1 labels"),
        ([1.0, np.nan], [0, 1], "not finite"),
        ([1.0, 2.0], [0, 2], "expected 0 to 1"),
        ([1.0, 2.0], [-1, 0], "expected 0 to 1"),
    ],
)
def test_what_thresholds_cannot_be_made_of_is_refused(
    distances: list[float], labels: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        guard.fit(np.array(distances), np.array(labels, int), 2)
