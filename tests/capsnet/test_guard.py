import numpy as np
import pytest

from capsnet import guard
from capsnet.card import Guard
from training.data.datasets import DatasetPart


def mean_around(image: np.ndarray, y: int, x: int) -> float:
    """Mean of the 3 x 3 pixels of an image (h,w), of which those outside are 0."""
    return sum(float(value) for value in image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].ravel()) / 9


def test_distance_is_euclidean_over_all_blurred_pixels(digits: DatasetPart) -> None:
    images = digits.images[:3].astype(np.float32) / 255
    drawn = digits.images[5:8].astype(np.float32) / 255
    images[:, :, 0, 5] = 1  # at the edge, where some of the nine pixels lie outside
    expected = [
        sum((mean_around(a, *at) - mean_around(b, *at)) ** 2 for at in np.ndindex(a.shape)) ** 0.5
        for a, b in zip(images[:, 0], drawn[:, 0], strict=True)
    ]
    np.testing.assert_allclose(guard.distance(images, drawn), expected, rtol=1e-5)
    assert guard.distance(images, images).tolist() == [0] * 3


def test_a_stroke_a_pixel_aside_is_nearer_than_a_lack_of_one() -> None:
    image = np.zeros((1, 1, 28, 28), np.float32)
    image[..., 4:12, 8:10] = 1
    image[..., 14:16, 10:16] = 1
    moved, lacking = image.copy(), image.copy()
    moved[..., 4:12, 8], moved[..., 4:12, 10] = 0, 1  # one stroke a pixel aside
    lacking[..., 14:16, 10:16] = 0
    assert guard.image_norm(image - moved) > guard.image_norm(image - lacking)
    assert guard.distance(image, moved) < 0.9 * guard.distance(image, lacking)


def test_distance_of_no_images_is_empty() -> None:
    assert guard.distance(np.zeros((0, 1, 28, 28)), np.zeros((0, 1, 28, 28))).shape == (0,)


def test_distance_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 28, 28\) but reconstructions \(1, 1, 28, 28\)"):
        guard.distance(np.zeros((2, 1, 28, 28)), np.zeros((1, 1, 28, 28)))


def rows(*pairs: tuple[float, float]) -> np.ndarray:
    """Lengths (B,3) whose two longest capsules, the classes 0 and 1, are as given."""
    return np.array([(first, second, 0.0) for first, second in pairs], np.float32)


def grey(*tones: float) -> np.ndarray:
    """Images (B,1,2,2) of one tone each; their Euclidean norm is twice the tone."""
    return np.array(tones, np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), np.float32)


USUAL = Guard(distance=(2.0, 4.0, 1.0), ink=(1.0, 2.0, 1.0), p95=(1.5, 2.0, 3.0), p99=(2.0, 3.0, 4.0))


def test_ink_is_the_distance_from_a_blank() -> None:
    assert guard.image_norm(grey(0, 0.25, 1)).tolist() == [0, 0.5, 2]


def test_doubt_is_what_the_two_longest_capsules_leave() -> None:
    found = guard.uncertainty(rows((1, 0), (0.9, 0.2), (0.5, 0.5), (0, 0)))
    np.testing.assert_allclose(found, [0, 0.3, 1, 1], atol=1e-6)
    assert guard.uncertainty(np.array([[0.75]])).tolist() == [0.25]


@pytest.mark.parametrize(
    ("distance", "tone", "lengths", "expected"),
    [
        (2.0, 0.5, (1.0, 0.0), 1.0),  # usual in everything
        (2.0, 1.0, (1.0, 0.0), 1.0),  # more ink than usual counts for nothing
        (3.0, 0.5, (1.0, 0.0), 1.5),
        (2.0, 0.5, (0.9, 0.15), 1.5),  # (1 + 2 * 0.25)
        (2.0, 0.125, (1.0, 0.0), 2.0),  # a quarter of the usual ink
        (3.0, 0.125, (0.9, 0.15), 4.0),
    ],
)
def test_the_anomaly_score_is_the_formula(
    distance: float, tone: float, lengths: tuple[float, float], expected: float
) -> None:
    images, pairs = grey(tone), rows(lengths)
    found = guard.anomaly_scores(USUAL, np.array([distance]), images, pairs)
    assert found == pytest.approx(expected, rel=1e-5)
    limit = guard.thresholds(USUAL, images, pairs)[0]
    assert (distance <= limit + 1e-5) == (expected <= USUAL.p95[0])


def test_a_threshold_is_the_distance_whose_anomaly_score_is_the_percentile() -> None:
    random = np.random.default_rng(0)
    lengths = random.uniform(0, 1, (50, 3)).astype(np.float32)
    images = random.uniform(0, 1, (50, 1, 2, 2)).astype(np.float32)
    limits = guard.thresholds(USUAL, images, lengths)
    scores = guard.anomaly_scores(USUAL, limits, images, lengths)
    np.testing.assert_allclose(scores, np.array(USUAL.p95)[lengths.argmax(axis=1)], rtol=1e-4)


def test_a_blank_image_is_never_accepted() -> None:
    blank, lengths = grey(0), rows((0.3, 0.1))
    assert guard.thresholds(USUAL, blank, lengths)[0] < 0
    assert guard.anomaly_scores(USUAL, np.zeros(1), blank, lengths)[0] > 1000


def good_images(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances, images and lengths of three classes, `count` of each, that differ in how hard they are."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), count)
    lengths = random.uniform(0, 0.1, (len(labels), 3))
    lengths[np.arange(len(labels)), labels] = random.uniform(0.8, 1, len(labels))
    images = random.uniform(0, 1, (len(labels), 1, 4, 4)) * (1 + labels[:, None, None, None]) / 3
    return random.gamma(4, 1 + labels), images, lengths


@pytest.mark.parametrize("accept", [0.95, 0.97])
def test_so_many_of_each_class_are_accepted(accept: float) -> None:
    distances, images, lengths = good_images(2000)
    fitted = guard.fit(distances, images, lengths, accept=accept)
    assert fitted.accepts == accept
    scores = guard.anomaly_scores(fitted, distances, images, lengths)
    refused = distances > guard.thresholds(fitted, images, lengths)
    for label in range(3):
        own = lengths.argmax(axis=1) == label
        assert fitted.distance[label] == np.median(distances[own])
        assert fitted.ink[label] == np.median(guard.image_norm(images[own]))
        assert refused[own].mean() == pytest.approx(1 - accept, abs=0.001)
        assert (scores[own] > fitted.p99[label]).mean() == pytest.approx(0.01, abs=0.001)


def test_a_rare_class_takes_the_figures_of_all() -> None:
    distances, images, lengths = good_images(100)
    kept = np.r_[0:100, 100:103]  # the class 1 has three images, the class 2 none
    distances, images, lengths = distances[kept], images[kept], lengths[kept]
    fitted = guard.fit(distances, images, lengths)
    assert fitted.distance[1:] == (np.median(distances),) * 2
    assert fitted.distance[0] == np.median(distances[:100])
    assert fitted.p95[1] != fitted.p95[0]
    figures = (fitted.distance, fitted.ink, fitted.p95, fitted.p99)
    assert all(type(value) is float for numbers in figures for value in numbers)


@pytest.mark.parametrize(
    ("distances", "images", "lengths", "message"),
    [
        ([], 0, [], "at least 1"),
        ([1.0, 2.0], 2, [(1, 0)], "2 distances, 2 images and 1 rows"),
        ([1.0], 2, [(1, 0), (1, 0)], "1 distances, 2 images and 2 rows"),
        ([1.0, np.nan], 2, [(1, 0), (0, 1)], "not finite"),
        ([1.0, 2.0], 2, [(1, 0), (np.inf, 1)], "not finite"),
    ],
)
def test_what_thresholds_cannot_be_made_of_is_refused(
    distances: list[float], images: int, lengths: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        guard.fit(np.array(distances), grey(*[1.0] * images), np.array(lengths).reshape(-1, 2))


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances, images and lengths of images that show two of four classes, which differ in how hard they are."""
    random = np.random.default_rng(1)
    labels = np.array([random.permutation(4)[:2] for _ in range(count)])
    lengths = random.uniform(0, 0.1, (count, 4))
    np.put_along_axis(lengths, labels, random.uniform(0.8, 1, (count, 2)), axis=1)
    hardness = 1 + labels.mean(axis=1)
    images = random.uniform(0, 1, (count, 1, 4, 4)) * hardness[:, None, None, None] / 4
    return random.gamma(4, hardness), images, lengths


def test_of_two_objects_the_second_and_third_lengths_give_the_uncertainty() -> None:
    lengths = np.array([(0.9, 0.75, 0.25), (0.9, 0.1, 0.1), (1.0, 1.0, 0.0)])
    np.testing.assert_allclose(guard.uncertainty(lengths, 2), [0.5, 1, 0], atol=1e-6)
    np.testing.assert_allclose(guard.uncertainty(lengths[:, :2], 2), [0.25, 0.9, 0], atol=1e-6)


def test_what_is_usual_for_two_objects_is_the_mean_of_their_classes() -> None:
    images, lengths = grey(0.75), rows((1.0, 1.0))  # distance (2 + 4) / 2, ink (1 + 2) / 2, p95 (1.5 + 2) / 2
    assert guard.anomaly_scores(USUAL, np.array([3.0]), images, lengths, 2) == pytest.approx(1)
    assert guard.thresholds(USUAL, images, lengths, 2) == pytest.approx(3 * 1.75)


def test_one_in_twenty_pairs_is_refused() -> None:
    distances, images, lengths = pairs(4000)
    fitted = guard.fit(distances, images, lengths, 2)
    refused = distances > guard.thresholds(fitted, images, lengths, 2)
    assert refused.mean() == pytest.approx(0.05, abs=0.01)
    shown = (guard.top_classes(lengths, 2) == 3).any(axis=1)
    assert fitted.distance[3] == np.median(distances[shown])
    single = lengths.copy()
    np.put_along_axis(
        single, guard.top_classes(lengths, 2)[:, 1:], 0.05, axis=1
    )  # one of the two is not there
    assert (distances > guard.thresholds(fitted, images, single, 2)).mean() > 0.5


def test_the_lengths_count_as_much_as_the_guard_says() -> None:
    images = np.ones((2, 1, 4, 4), np.float32)
    lengths = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
    light, heavy = (
        guard.fit(np.ones(2), images, lengths, doubt_weight=weight) for weight in (guard.DOUBT_WEIGHT, 16.0)
    )
    gaps = [np.diff(guard.anomaly_scores(each, np.ones(2), images, lengths))[0] for each in (light, heavy)]
    assert gaps[1] == pytest.approx(8 * gaps[0])
    assert (guard.thresholds(heavy, images, lengths)[0] > guard.thresholds(heavy, images, lengths)[1]).all()
