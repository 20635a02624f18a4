"""Routing for training gives the poses and the gradients of the plain loop, and holds u_hat and its gradient alone."""

from functools import partial

import pytest
import torch
from torch import Tensor

from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.nn import functional, layers, routing, routing_backward

SHAPE = (3, 4, 7, 5)  # (B,J,I,D)


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    u_hat = torch.randn(*SHAPE, generator=generator, dtype=torch.float64)
    return u_hat.requires_grad_(), torch.full((SHAPE[1], SHAPE[3]), 0.1, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("squash", [functional.squash, partial(functional.squash, offset=0.5)])
@pytest.mark.parametrize("biased", [False, True])
def test_poses_and_gradients_are_those_of_the_plain_loop(
    iterations: int, detach: bool, squash: routing_backward.Squash, biased: bool
) -> None:
    u_hat, bias = inputs()
    given = bias if biased else None
    poses = routing_backward.dynamic_routing(u_hat, iterations, given, squash=squash, detach=detach)
    expected, _ = routing.dynamic_routing(u_hat, iterations, given, squash=squash, detach=detach)
    torch.testing.assert_close(poses, expected)
    wanted = (u_hat, bias) if biased else (u_hat,)
    above = torch.linspace(-1, 1, poses.numel(), dtype=poses.dtype).view_as(poses)
    for got, want in zip(
        torch.autograd.grad(poses, wanted, above), torch.autograd.grad(expected, wanted, above), strict=True
    ):
        torch.testing.assert_close(got, want)


def test_the_gradient_is_the_slope() -> None:
    u_hat, bias = inputs()
    assert torch.autograd.gradcheck(lambda u, b: routing_backward.dynamic_routing(u, 3, b), (u_hat, bias))


@pytest.mark.parametrize("architecture", ["capsnet", "shared"])
def test_a_network_in_training_computes_what_it_will_compute(architecture: str) -> None:
    torch.manual_seed(0)
    network = build(ModelConfig(architecture=architecture, class_bias=True))
    images = torch.rand(2, 1, 28, 28)
    poses = network.encode(images)[1]
    with torch.no_grad():
        torch.testing.assert_close(poses, network.encode(images)[1])
    torch.autograd.backward(poses.square().sum())
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in network.get_submodule("digits").parameters()
    )


def test_nothing_as_large_as_the_predictions_is_kept_but_they() -> None:
    u_hat, bias = inputs()
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        routing_backward.dynamic_routing(u_hat, 3, bias)
    assert [size for size in sizes if size >= u_hat.numel()] == [u_hat.numel()]


def test_validation_takes_the_memory_of_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred images at once, of 40 pixels and 100 classes, would take 14 GB."""
    digits = build(ModelConfig(architecture="capsnet")).get_submodule("digits").eval()
    u, sizes = torch.randn(2 * layers.CHUNK + 3, 1152, 8), []
    route = layers.DynamicRoutingCaps.route

    def note(layer: layers.DynamicRoutingCaps, u_hat: Tensor) -> Tensor:
        sizes.append(len(u_hat))
        return route(layer, u_hat)

    monkeypatch.setattr(layers.DynamicRoutingCaps, "route", note)
    with torch.no_grad():
        assert digits(u).shape == (len(u), 10, 16)
    assert sizes == [layers.CHUNK, layers.CHUNK, 3]


def test_images_are_routed_in_chunks_in_training_with_the_same_poses_and_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    digits = build(ModelConfig(architecture="capsnet")).get_submodule("digits").train()
    u = torch.randn(5, 1152, 8)
    found = []
    for chunk in (2, 5):
        monkeypatch.setattr(layers, "CHUNK", chunk)
        poses = digits(u)
        digits.zero_grad()
        torch.autograd.backward(poses.square().sum())
        found.append((poses.detach(), digits.get_parameter("weight").grad))
    (poses, gradient), (whole_poses, whole_gradient) = found
    torch.testing.assert_close(poses, whole_poses)
    torch.testing.assert_close(gradient, whole_gradient)
