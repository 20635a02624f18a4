"""What the pixels of training images have in common tells images of another kind, and stands in the card."""

import dataclasses

import numpy as np
import pytest

from benchmarks.own_images.kinds import sign, texture
from capsnet import appearance, guard
from capsnet.card import Appearance, CardError


def make_images(draw: str, count: int, seed: int) -> np.ndarray:
    """Images (count,3,32,32) in [0,1] of signs or of textures."""
    made = []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        image = sign("moon", random) if draw == "sign" else texture("checks", random)
        made.append(np.asarray(image.convert("RGB").resize((32, 32))).transpose(2, 0, 1) / 255)
    return np.stack(made).astype(np.float32)


@pytest.fixture(scope="module")
def looks() -> Appearance:
    fitted = appearance.fit(make_images("sign", 80, 0))
    assert fitted is not None
    return fitted


def test_images_of_another_kind_are_over_the_limit_and_good_ones_below(looks: Appearance) -> None:
    good = appearance.score(looks, make_images("sign", 60, 1))
    assert (good > 1).mean() <= 0.1
    assert (appearance.score(looks, make_images("texture", 30, 1)) > 1).all()
    noise = np.random.default_rng(0).random((10, 3, 32, 32)).astype(np.float32)
    assert (appearance.score(looks, noise) > 2).all()
    assert (appearance.score(looks, np.zeros((1, 3, 32, 32), np.float32)) > 1).all()


def test_one_image_is_as_unlike_alone_as_among_others(looks: Appearance) -> None:
    images = make_images("texture", 3, 1)
    together = appearance.score(looks, images)
    alone = [appearance.score(looks, image[None])[0] for image in images]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 200), (2, 3, 3)])
def test_every_shape_of_an_image_has_measures(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).random((12, *shape)).astype(np.float32)
    found = appearance.measures(images)
    assert found.shape[0] == 12
    assert np.isfinite(found).all()
    assert appearance.fit(images) is not None


def test_too_few_images_have_nothing_in_common() -> None:
    assert appearance.fit(np.zeros((9, 1, 8, 8), np.float32)) is None


def test_equal_images_have_a_limit_above_0() -> None:
    fitted = appearance.fit(np.ones((12, 1, 8, 8), np.float32))
    assert fitted is not None
    assert fitted.limit > 0


def test_the_guard_refuses_what_looks_otherwise_and_is_else_as_before(looks: Appearance) -> None:
    images = np.concatenate([make_images("sign", 40, 2), make_images("texture", 5, 2)])
    lengths = np.tile(np.array([[0.95, 0.05]], np.float32), (len(images), 1))
    distances = np.linspace(1, 1.1, len(images))
    plain = guard.fit(distances[:40], images[:40], lengths[:40], doubt_weight=16.0)
    knowing = guard.fit(distances[:40], images[:40], lengths[:40], doubt_weight=16.0, looks=looks)
    assert knowing.appearance is looks
    assert (distances > guard.thresholds(knowing, images, lengths))[40:].all()
    assert not (distances > guard.thresholds(plain, images, lengths))[40:].any()
    strange = guard.anomaly_scores(knowing, distances, images, lengths)
    usual = guard.anomaly_scores(plain, distances, images, lengths)
    inside = appearance.score(looks, images) <= 1
    np.testing.assert_array_equal(strange[inside], usual[inside])


def test_a_card_of_another_version_is_told_by_its_measures(looks: Appearance) -> None:
    with pytest.raises(ValueError, match="export the model again"):
        appearance.score(looks, np.zeros((1, 1, 32, 32), np.float32))


def test_a_crooked_appearance_is_no_card(looks: Appearance) -> None:
    with pytest.raises(CardError, match="a row of its factor"):
        dataclasses.replace(looks, factor=looks.factor[:-1])
    with pytest.raises(CardError, match="above 0"):
        dataclasses.replace(looks, limit=0.0)


def test_a_guard_of_few_images_refuses_few_good_ones_on_average(looks: Appearance) -> None:
    random = np.random.default_rng(0)
    images = np.repeat(make_images("sign", 1, 0), 40, axis=0)
    lengths = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), (20, 1))  # 20 images of each class
    refused = []
    for _ in range(100):
        fitted = guard.fit(random.uniform(1, 2, 40), images, lengths, looks=looks)
        refused.append((random.uniform(1, 2, 40) > guard.thresholds(fitted, images, lengths)).mean())
    assert np.mean(refused) < 0.04  # with interpolated percentiles of each class, more than 0.1


@pytest.mark.parametrize("count", [4, 10, 40, 200])
def test_a_further_value_stays_below_the_bound_as_often_as_it_says(count: int) -> None:
    random = np.random.default_rng(0)
    values = np.exp(random.normal(0, 0.4, (2000, count + 1)))
    above = [row[-1] > appearance.upper_bound(row[:-1], 0.95) for row in values]
    assert np.mean(above) == pytest.approx(0.05, abs=0.012)


def test_a_prior_spread_keeps_the_bound_of_four_values_from_being_too_low() -> None:
    random = np.random.default_rng(0)
    prior = appearance.PriorSpread(deviation=0.4, weight=8)
    many = np.exp(random.normal(0, 0.4, 10_000))
    values = np.exp(random.normal(0, 0.4, (500, 4)))
    alone = [(many > appearance.upper_bound(four, 0.98)).mean() for four in values]
    helped = [(many > appearance.upper_bound(four, 0.98, prior)).mean() for four in values]
    assert np.percentile(helped, 95) < 0.05
    assert np.percentile(alone, 95) > 0.08
    assert 0 < np.mean(helped) < 0.02


def test_one_value_has_a_bound_above_it() -> None:
    assert appearance.upper_bound(np.array([0.7]), 0.95) > 0.7
