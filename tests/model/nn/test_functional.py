"""The mathematics of capsules against the papers' formulas: lengths, gradients, and what a mask keeps."""

import pytest
import torch
from torch import Tensor

from model.nn import functional
from model.nn.functional import (
    capsules_from_channels,
    lengths,
    mask,
    squash,
    squash_exponential,
)


def doubles(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradients_are_those_of_finite_differences() -> None:
    vectors = doubles(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(squash, (vectors,))
    assert torch.autograd.gradcheck(squash_exponential, (vectors,))


@pytest.mark.parametrize("function", [squash, squash_exponential])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-8, 1e-3, 1.0, 100.0, 1e4, 1e15])
def test_values_and_gradients_are_finite_from_zero_to_very_long(function: object, scale: float) -> None:
    assert callable(function)
    s = (torch.randn(4, 8, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()
    v = function(s)
    (gradient,) = torch.autograd.grad(v.sum(), s)
    assert torch.isfinite(v).all()
    assert torch.isfinite(gradient).all()
    assert (lengths(v) <= 1 + 1e-5).all()


def test_squash_has_the_papers_lengths() -> None:
    n = torch.tensor([0.01, 0.5, 1.0, 3.0, 50.0])
    s = n.unsqueeze(1) * torch.nn.functional.normalize(torch.ones(5, 3), dim=1)
    torch.testing.assert_close(lengths(squash(s)), n**2 / (1 + n**2), atol=2e-4, rtol=0)
    torch.testing.assert_close(lengths(squash(s, 0.5)), n**2 / (0.5 + n**2), atol=2e-4, rtol=0)
    torch.testing.assert_close(lengths(squash_exponential(s)), 1 - torch.exp(-n), atol=2e-4, rtol=0)


def test_capsules_are_channels_of_one_pixel() -> None:
    """Not neighbouring pixels of one channel, which is what reshaping the channels-first tensor gives."""
    channels, height, width = 6, 2, 3
    features = torch.empty(1, channels, height, width)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                features[0, c, y, x] = 100 * y + 10 * x + c
    capsules = capsules_from_channels(features, dim=3)
    assert capsules.shape == (1, height * width * 2, 3)
    pixels = {tuple((capsule // 10).int().tolist()) for capsule in capsules[0]}
    assert pixels == {(p, p, p) for p in (0, 1, 2, 10, 11, 12)}
    assert capsules[0, 0].tolist() == [0, 1, 2]
    assert capsules[0, 1].tolist() == [3, 4, 5]


def test_mask_keeps_the_named_capsule_of_each_sample() -> None:
    poses = doubles(3, 4, 5)
    masked = mask(poses, torch.tensor([2, 0, 3])).view(3, 4, 5)
    for sample, label in enumerate([2, 0, 3]):
        for j in range(4):
            expected = poses[sample, j] if j == label else torch.zeros(5, dtype=torch.float64)
            assert torch.equal(masked[sample, j], expected)


def test_length_of_a_zero_capsule_has_a_finite_gradient() -> None:
    poses = torch.zeros(1, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(functional.lengths(poses).sum(), poses)
    assert torch.isfinite(gradient).all()
