"""Routing against plain loops written from the papers' formulas, in float64."""

import math

import pytest
import torch
from torch import Tensor

from model.nn.routing import attention_routing, dynamic_routing


def doubles(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_squash(s: list[float]) -> list[float]:
    square = sum(x * x for x in s)
    return [square / (1 + square) * x / math.sqrt(square) for x in s]


def plain_squash_exponential(s: list[float]) -> list[float]:
    n = math.sqrt(sum(x * x for x in s))
    return [(1 - math.exp(-n)) * x / n for x in s]


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(v) for v in values]
    return [e / sum(exponentials) for e in exponentials]


def plain_dynamic_routing(
    u_hat: list[list[list[float]]], iterations: int, bias: list[list[float]]
) -> list[list[float]]:
    """Procedure 1 of Sabour et al. 2017, number by number, for one sample: u_hat[j][i][d]."""
    outputs, inputs, dims = len(u_hat), len(u_hat[0]), len(u_hat[0][0])
    b = [[0.0] * inputs for _ in range(outputs)]
    v: list[list[float]] = []
    for _ in range(iterations):
        c = [softmax([b[j][i] for j in range(outputs)]) for i in range(inputs)]  # over the output capsules
        s = [
            [sum(c[i][j] * u_hat[j][i][d] for i in range(inputs)) + bias[j][d] for d in range(dims)]
            for j in range(outputs)
        ]
        v = [plain_squash(row) for row in s]
        for j in range(outputs):
            for i in range(inputs):
                b[j][i] += sum(u_hat[j][i][d] * v[j][d] for d in range(dims))
    return v


def plain_attention_routing(u_hat: list[list[list[float]]], bias: list[list[float]]) -> list[list[float]]:
    """Equations 5 to 8 of Mazzia et al. 2021 with the I x I matrix A written out, for one sample."""
    outputs, inputs, dims = len(u_hat), len(u_hat[0]), len(u_hat[0][0])
    columns = []
    for j in range(outputs):
        a = [
            [
                sum(u_hat[j][i][d] * u_hat[j][k][d] for d in range(dims)) / math.sqrt(dims)
                for k in range(inputs)
            ]
            for i in range(inputs)
        ]
        columns.append([sum(a[i]) for i in range(inputs)])
    c = [softmax([columns[j][i] for j in range(outputs)]) for i in range(inputs)]  # over the classes
    s = [
        [sum((c[i][j] + bias[j][i]) * u_hat[j][i][d] for i in range(inputs)) for d in range(dims)]
        for j in range(outputs)
    ]
    return [plain_squash_exponential(row) for row in s]


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_dynamic_routing_is_the_papers_procedure(iterations: int) -> None:
    u_hat, bias = doubles(3, 4, 6, 5), doubles(4, 5, seed=1)
    poses, coupling = dynamic_routing(u_hat, iterations, bias)
    for sample, expected_for in zip(poses, u_hat, strict=True):
        expected = torch.tensor(plain_dynamic_routing(expected_for.tolist(), iterations, bias.tolist()))
        # float64 down to the epsilon inside the norm
        torch.testing.assert_close(sample, expected.double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(coupling.sum(dim=1), torch.ones(3, 6, dtype=torch.float64))


def test_attention_routing_is_the_papers_equations() -> None:
    u_hat, bias = doubles(3, 4, 6, 5), doubles(4, 6, seed=1)
    poses, _ = attention_routing(u_hat, bias)
    for sample, given in zip(poses, u_hat, strict=True):
        expected = torch.tensor(plain_attention_routing(given.tolist(), bias.tolist()))
        torch.testing.assert_close(sample, expected.double(), rtol=0, atol=1e-6)


def test_attention_couples_over_the_output_capsules() -> None:
    _, coupling = attention_routing(doubles(3, 4, 6, 5), torch.zeros(4, 6, dtype=torch.float64))
    torch.testing.assert_close(coupling.sum(dim=1), torch.ones(3, 6, dtype=torch.float64))


def test_gradients_are_those_of_finite_differences() -> None:
    u_hat = doubles(2, 3, 4, 5).requires_grad_()
    class_bias = doubles(3, 5, seed=1).requires_grad_()
    prior = doubles(3, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda u, b: dynamic_routing(u, 3, b), (u_hat, class_bias))
    assert torch.autograd.gradcheck(attention_routing, (u_hat, prior))


def test_detached_routing_gives_the_same_poses_and_another_gradient() -> None:
    u_hat = doubles(2, 3, 4, 5).requires_grad_()
    whole, _ = dynamic_routing(u_hat, 3)
    (gradient,) = torch.autograd.grad(whole.sum(), u_hat)
    detached, _ = dynamic_routing(u_hat, 3, detach=True)
    (shorter,) = torch.autograd.grad(detached.sum(), u_hat)
    torch.testing.assert_close(whole, detached)
    assert not torch.allclose(gradient, shorter)


def test_a_sample_is_routed_alone() -> None:
    """Public code averages the routing over the batch; here batch-mates must not matter."""
    u_hat = doubles(5, 4, 6, 5)
    together, _ = dynamic_routing(u_hat, 3)
    alone = torch.cat([dynamic_routing(u_hat[i : i + 1], 3)[0] for i in range(5)])
    torch.testing.assert_close(together, alone)
