"""The losses against the papers' numbers, and the two ways in which public code gets them wrong."""

import pytest
import torch

from training.trainer.config import TrainConfig
from training.trainer.losses import margin_loss, reconstruction_loss


def one_hot(label: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor([label]), 10)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(1.0, 9 * 0.5 * 0.9**2), (0.0, 0.9**2), (0.5, 0.4**2 + 9 * 0.5 * 0.4**2), (0.1, 0.8**2)],
)
def test_margins_are_squared_and_summed_over_the_classes(length: float, expected: float) -> None:
    """All lengths 1 give 3.645 and all 0 give 0.81, the two losses at which a stuck network is recognised."""
    lengths = torch.full((1, 10), length)
    assert margin_loss(lengths, one_hot(3)).tolist() == pytest.approx([expected])


def test_a_confident_right_answer_costs_nothing() -> None:
    lengths = torch.full((1, 10), 0.05)
    lengths[0, 3] = 0.95
    assert margin_loss(lengths, one_hot(3)).tolist() == [0.0]
    assert margin_loss(lengths, one_hot(4)).tolist() == pytest.approx([0.85**2 + 0.5 * 0.85**2])


def test_two_classes_may_be_present() -> None:
    lengths = torch.full((1, 10), 0.1)
    lengths[0, [3, 7]] = 0.9
    targets = one_hot(3) + one_hot(7)
    assert margin_loss(lengths, targets).tolist() == pytest.approx([0.0], abs=1e-12)


def test_reconstruction_is_the_sum_over_pixels_and_weighs_0_392_of_the_mean() -> None:
    images, drawn = torch.rand(4, 1, 28, 28), torch.rand(4, 1, 28, 28)
    expected = 0.392 * (images - drawn).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(
        TrainConfig.reconstruction_weight * reconstruction_loss(drawn, images), expected
    )
