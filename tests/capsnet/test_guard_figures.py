"""The figures of the guard's table, and the images that it is measured with."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.preprocessing import ood_images
from benchmarks.preprocessing.guard_table import auroc, judge
from capsnet import guard
from capsnet.config import InputSpec
from capsnet.onnx_model import open_variants
from training.data.datasets import DatasetPart

ROOT = Path(__file__).resolve().parents[2]
DIGIT = InputSpec(channels=1, height=28, width=28, preprocess="mnist")


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    good, odd = random.integers(0, 9, 30), random.integers(3, 12, 20)  # with ties
    pairs = [(o > g) + 0.5 * (o == g) for g in good for o in odd]
    assert auroc(good, odd) == pytest.approx(np.mean(pairs))


# Kinds in which nothing is found: what the network is given is blank.
EMPTY = {"blank", "noise: uniform"}


@pytest.mark.parametrize("kinds", [ood_images.REPORTED, ood_images.DEVELOPED], ids=["reported", "developed"])
def test_a_kind_gives_the_same_images_again_and_no_two_alike(kinds: dict[str, ood_images.Maker]) -> None:
    for kind, maker in kinds.items():
        images = ood_images.make(maker, 3, 1, DIGIT)
        assert images.shape == (3, 28, 28)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, ood_images.make(maker, 3, 1, DIGIT))
        assert images.any() == (kind not in EMPTY)
        assert kind in EMPTY or (images[0] != images[1]).any()


@pytest.mark.parametrize("kind", list(ood_images.REPORTED))
def test_the_shipped_model_refuses_what_it_was_not_trained_on(kind: str) -> None:
    card, variants = open_variants(ROOT / "artifacts" / "mnist")
    images = ood_images.make(ood_images.REPORTED[kind], 12, 5, DIGIT)[:, None]
    assert judge(variants["fp32"], card.variants["fp32"].guard, images).refused >= 0.7


def test_the_shipped_model_accepts_digits(digits: DatasetPart) -> None:
    card, variants = open_variants(ROOT / "artifacts" / "mnist")
    judged = judge(variants["fp32"], card.variants["fp32"].guard, digits.images)
    assert judged.refused < 0.15
    assert (judged.score <= 1).tolist() == judged.accepted.tolist()
    assert guard.EPSILON < judged.score.min() < 1
