"""Compute the routing of capsules: by agreement (Sabour et al. 2017) and by self-attention (Mazzia et al. 2021).

These plain functions of tensors serve evaluation and export. `model.nn.routing_backward` computes the same in training
with less memory. `capsnet.explanation.votes` reads the routing of an exported network.

Legend: B batch, T iterations, I input capsules, J output capsules, D dimensions of an output capsule (pose).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from model.nn.functional import lengths, squash, squash_exponential


def dynamic_routing(
    u_hat: Tensor,
    iterations: int,
    bias: Tensor | None = None,
    *,
    squash: Callable[[Tensor], Tensor] = squash,
    detach: bool = False,
) -> tuple[Tensor, Tensor]:
    """Route predictions by agreement (Sabour et al. 2017, procedure 1).

    Parameters
    ----------
    u_hat
        (B,J,I,D): what input capsule i predicts for output capsule j.
    iterations
        How many times the coefficients are computed; the loop is plain Python, so an export unrolls it.
    bias
        (J,D), added to every weighted sum before the squash, or None.
    squash
        The non-linearity of the output capsules.
    detach
        Let the gradient flow through the last iteration only.

    Returns
    -------
    poses (B,J,D) and the coupling coefficients (B,J,I), which sum to 1 over the *output* capsules J.
    """
    *_, (coupling, poses) = routing_iterations(u_hat, iterations, bias, squash=squash, detach=detach)
    return poses, coupling


def routing_iterations(
    u_hat: Tensor,
    iterations: int,
    bias: Tensor | None = None,
    *,
    squash: Callable[[Tensor], Tensor] = squash,
    detach: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the coupling coefficients (B,J,I) and the poses (B,J,D) of each iteration; see `dynamic_routing`."""
    logits = u_hat.new_zeros(u_hat.shape[:-1])  # (B,J,I)
    for iteration in range(iterations):
        coupling = torch.softmax(logits, dim=1)  # (B,J,I), over J
        s = (coupling.unsqueeze(2) @ u_hat).squeeze(2)  # (B,J,1,I) @ (B,J,I,D) -> (B,J,D)
        if bias is not None:
            s = s + bias
        poses = squash(s)  # (B,J,D)
        yield coupling, poses
        if iteration < iterations - 1:
            logits = logits + agreement(u_hat, poses)  # (B,J,I)
            logits = logits.detach() if detach else logits


def agreement(u_hat: Tensor, vectors: Tensor) -> Tensor:
    """Return scalar products (B,J,I) of predictions (B,J,I,D) with vectors (B,J,D)."""
    return (u_hat @ vectors.unsqueeze(-1)).squeeze(-1)


def routing_history(
    u_hat: Tensor,
    iterations: int,
    bias: Tensor | None = None,
    *,
    squash: Callable[[Tensor], Tensor] = squash,
) -> tuple[Tensor, Tensor, Tensor]:
    """Route predictions (B,J,I,D) by agreement, and return the values of each of T iterations.

    Returns
    -------
    The coupling coefficients (B,T,J,I), the agreements (B,T,J,I) of the predictions with the poses that these
    coefficients make, and the lengths (B,T,J) of these poses.
    """
    steps = list(routing_iterations(u_hat, iterations, bias, squash=squash))
    couplings = torch.stack([coupling for coupling, _ in steps], dim=1)  # (B,T,J,I)
    agreements = torch.stack([agreement(u_hat, poses) for _, poses in steps], dim=1)  # (B,T,J,I)
    return couplings, agreements, torch.stack([lengths(poses) for _, poses in steps], dim=1)  # (B,T,J)


def attention_routing(u_hat: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Route predictions by self-attention, without iterating (Mazzia et al. 2021, equations 5 to 8).

    The paper's matrix A = u_hat u_hat^T / sqrt(D), summed over one of its I axes, is u_hat_i . sum_k u_hat_k: no I x I
    matrix is made.

    Parameters
    ----------
    u_hat
        (B,J,I,D): what input capsule i predicts for output capsule j.
    bias
        (J,I): a learned prior added to the coefficients *after* their softmax.

    Returns
    -------
    poses (B,J,D) and the coupling coefficients (B,J,I), bias included.
    """
    total = u_hat.sum(dim=2, keepdim=True)  # (B,J,1,D)
    agreement = (u_hat * total).sum(dim=-1) / u_hat.shape[-1] ** 0.5  # (B,J,I)
    coupling = torch.softmax(agreement, dim=1) + bias  # (B,J,I), softmax over J
    s = (coupling.unsqueeze(2) @ u_hat).squeeze(2)  # (B,J,1,I) @ (B,J,I,D) -> (B,J,D)
    return squash_exponential(s), coupling
