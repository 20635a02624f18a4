"""Route by agreement in training: the values of `model.nn.routing`, with a backward pass of its own.

u_hat is the largest tensor of CapsNet, 737 KB an image in float32. Under autograd, every sum over it and every
agreement with it makes a gradient as large as u_hat, and these are then added: five of them for three iterations. But
each is an outer product of coefficients (I) and a pose (D), so all together are one product of matrices:

    d u_hat[b,j,i,:] = sum over t of  c_t[b,j,i] * ds_t[b,j,:]  +  db_t[b,j,i] * v_t[b,j,:]

Here u_hat is stored once, read twice an iteration, and its gradient is written once.

Legend: B batch, I input capsules, J output capsules, D pose dimensions.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.nn import functional

Squash = Callable[[Tensor], Tensor]


def dynamic_routing(
    u_hat: Tensor,
    iterations: int,
    bias: Tensor | None = None,
    *,
    squash: Squash = functional.squash,
    detach: bool = False,
) -> Tensor:
    """Return poses (B,J,D) from predictions u_hat (B,J,I,D); see `model.nn.routing.dynamic_routing` for the parameters.

    The squash must have no parameters of its own: it would get no gradient.
    """
    poses: Tensor = _Routing.apply(u_hat.contiguous(), bias, iterations, squash, detach)  # type: ignore[no-untyped-call]
    return poses


class _Routing(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u_hat: Tensor, bias: Tensor | None, iterations: int, squash: Squash, detach: bool
    ) -> Tensor:
        logits = u_hat.new_zeros(u_hat.shape[:-1])  # (B,J,I)
        kept: list[Tensor] = []
        for iteration in range(iterations):
            coupling = torch.softmax(logits, dim=1)  # (B,J,I), over J
            s = _weighted_sum(coupling, u_hat)  # (B,J,D)
            if bias is not None:
                s = s + bias
            poses = squash(s)  # (B,J,D)
            kept += [coupling, s, poses]
            if iteration < iterations - 1:
                logits = logits + _agreement(u_hat, poses)  # (B,J,I)
        ctx.save_for_backward(u_hat, *(kept[-3:] if detach else kept))
        ctx.squash, ctx.biased = squash, bias is not None
        return poses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_poses: Tensor) -> tuple[Tensor | None, ...]:
        u_hat, *kept = ctx.saved_tensors
        coefficients: list[Tensor] = []  # (B,J,I) each
        vectors: list[Tensor] = []  # (B,J,D) each
        d_sums = torch.zeros_like(d_poses)
        d_logits: Tensor | None = None
        for first in range(len(kept) - 3, -1, -3):
            coupling, s, poses = kept[first : first + 3]
            if d_logits is not None:  # these poses were used for the agreement alone
                d_poses = _weighted_sum(d_logits, u_hat)  # (B,J,D)
                coefficients.append(d_logits)
                vectors.append(poses)
            d_s = _gradient(ctx.squash, s, d_poses)  # (B,J,D)
            coefficients.append(coupling)
            vectors.append(d_s)
            d_sums = d_sums + d_s
            if first:  # the first coefficients are constant
                through = _through_softmax(coupling, _agreement(u_hat, d_s))  # (B,J,I)
                d_logits = through if d_logits is None else d_logits + through
        d_u_hat = torch.stack(coefficients, dim=-1) @ torch.stack(vectors, dim=2)  # (B,J,I,K) @ (B,J,K,D)
        return d_u_hat, d_sums.sum(dim=0) if ctx.biased else None, None, None, None


def _weighted_sum(coefficients: Tensor, u_hat: Tensor) -> Tensor:
    """Return weighted sums (B,J,D) of predictions (B,J,I,D)."""
    return (coefficients.unsqueeze(2) @ u_hat).squeeze(2)


def _agreement(u_hat: Tensor, vectors: Tensor) -> Tensor:
    """Return scalar products (B,J,I) of predictions (B,J,I,D) with vectors (B,J,D).

    A row times a matrix takes a fifth of the time of a matrix times a column on a CPU.
    """
    return (vectors.unsqueeze(2) @ u_hat.transpose(2, 3)).squeeze(2)


def _gradient(squash: Squash, s: Tensor, d_poses: Tensor) -> Tensor:
    with torch.enable_grad():
        inputs = s.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(squash(inputs), inputs, d_poses)
    return gradient


def _through_softmax(coupling: Tensor, d_coupling: Tensor) -> Tensor:
    """Return the gradient of the logits (B,J,I) of a softmax over J."""
    weighted = coupling * d_coupling
    return weighted - coupling * weighted.sum(dim=1, keepdim=True)
