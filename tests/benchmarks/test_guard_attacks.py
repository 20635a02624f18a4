"""Guards that are attacked: several networks as one, thresholds by percentile, and what an attack is counted as."""

import numpy as np
import pytest
import torch

from benchmarks.guard_attacks import PERCENTILES, Agreeing, guards_of, judged
from capsnet.card import Guard
from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart


@pytest.fixture(scope="module")
def networks() -> list[CapsuleNetwork]:
    torch.manual_seed(0)
    config = ModelConfig(architecture="efficient", decoder_hidden=(32,))
    return [build(config).eval().requires_grad_(False) for _ in range(2)]


@pytest.fixture(scope="module")
def good(digits: DatasetPart) -> torch.Tensor:
    return torch.from_numpy(digits.images.astype(np.float32) / 255)


@pytest.fixture(scope="module")
def guards(networks: list[CapsuleNetwork], good: torch.Tensor) -> list[Guard]:
    return guards_of(networks[0], good.numpy())


@pytest.fixture(scope="module")
def label(networks: list[CapsuleNetwork], good: torch.Tensor) -> np.ndarray:
    """The classes that the first network gives."""
    found: np.ndarray = networks[0].encode(good)[0].argmax(dim=1).numpy()
    return found


def test_networks_that_must_agree_have_the_shorter_capsules_and_the_mean_drawing(
    networks: list[CapsuleNetwork], digits: DatasetPart
) -> None:
    images, label = torch.from_numpy(digits.images[:4]).float() / 255, torch.tensor([0, 3, 9, 9])
    both = Agreeing(networks)
    lengths, poses = both.encode(images)
    each = [network.encode(images) for network in networks]
    torch.testing.assert_close(lengths, torch.minimum(each[0][0], each[1][0]))
    drawn = [network.decode(pose, label) for network, (_, pose) in zip(networks, each, strict=True)]
    torch.testing.assert_close(both.decode(poses, label), (drawn[0] + drawn[1]) / 2)


def test_a_lower_percentile_refuses_more_good_images(
    networks: list[CapsuleNetwork], guards: list[Guard], good: torch.Tensor, label: np.ndarray
) -> None:
    wrong, *refused = map(float, judged(networks[0], guards, good, label, only_wrong=False))
    assert wrong == 0
    assert refused == pytest.approx([100 - percentile for percentile in PERCENTILES], abs=4)


def test_an_attack_counts_only_where_it_is_wrong_and_accepted(
    networks: list[CapsuleNetwork], guards: list[Guard], good: torch.Tensor, label: np.ndarray
) -> None:
    assert set(judged(networks[0], guards, good, label)) == {"0.0"}
    wrong, accepted, *_ = judged(networks[0], guards, good, (label + 1) % 10)
    assert wrong == "100.0"
    assert float(accepted) == pytest.approx(95, abs=2)
