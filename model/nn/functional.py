"""The mathematics of capsule networks as functions of tensors; the modules of `model.nn.layers` only hold parameters.

Legend: B batch, I input capsules, J output capsules, E dimensions of an input capsule, D of an output capsule (pose),
C channels, H height, W width.

All of it is meant to run in float32: in bfloat16 the exponentials and norms below lose the small differences that
routing lives on. The layers see to that with `float32`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Least value under every square root, whose derivative is infinite at 0: the norm of a zero vector would give NaN
# gradients. A lower bound rather than a summand, because the ONNX exporter's optimizer takes "+ 1e-8" for "+ 0" and
# drops it, and then a zero capsule is 0/0 in the exported graph.
EPSILON = 1e-8


def norm(s: Tensor) -> Tensor:
    """Euclidean norm over the last axis, kept as an axis of size 1, with a finite gradient at zero."""
    return torch.sqrt(s.square().sum(dim=-1, keepdim=True).clamp_min(EPSILON))


def squash(s: Tensor, offset: float = 1.0) -> Tensor:
    """Shrink vectors (..., D) to lengths in [0, 1), keeping their direction.

    v = |s|^2 / (offset + |s|^2) * s / |s|  (Sabour et al. 2017, equation 1, with offset 1; the shared-weight network
    has 0.5). Written so that neither a zero nor a very long vector divides by zero or overflows.
    """
    n = norm(s)
    return s / (n + offset / n)


def squash_exponential(s: Tensor) -> Tensor:
    """Shrink vectors (..., D): v = (1 - exp(-|s|)) * s / |s|  (Mazzia et al. 2021, equation 3).

    `expm1` keeps the lengths of short vectors, which 1 - exp(-n) rounds to zero, and its gradient is finite for long
    ones, where 1 - 1/exp(n) gives NaN.
    """
    n = norm(s)
    return -torch.expm1(-n) * s / n


def lengths(poses: Tensor) -> Tensor:
    """Lengths (B,J) of capsules (B,J,D): how sure the network is that each class is present."""
    return norm(poses).squeeze(-1)


def logits(groups: Tensor) -> Tensor:
    """Logits (B,J) of groups of units (B,J,D): their sums (Qin et al. 2019), for networks whose classes compete."""
    return groups.sum(dim=-1)


def capsules_from_channels(features: Tensor, dim: int) -> Tensor:
    """Cut feature maps (B, T*E, H, W) into capsules (B, H*W*T, E), where E is `dim`.

    A capsule is made of `dim` neighbouring *channels of one pixel*; a plain reshape of the channels-first tensor would
    make it of `dim` neighbouring pixels of one channel instead.
    """
    pixels_first = features.permute(0, 2, 3, 1)  # (B,H,W,T*E)
    return pixels_first.reshape(features.shape[0], -1, dim)  # (B,H*W*T,E)


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
    """Give the coupling coefficients (B,J,I) and the poses (B,J,D) of each iteration; see `dynamic_routing`."""
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


def agreement(u_hat: Tensor, poses: Tensor) -> Tensor:
    """Scalar products (B,J,I) of predictions (B,J,I,D) with poses (B,J,D)."""
    return (u_hat @ poses.unsqueeze(-1)).squeeze(-1)


def routing_history(
    u_hat: Tensor,
    iterations: int,
    bias: Tensor | None = None,
    *,
    squash: Callable[[Tensor], Tensor] = squash,
) -> tuple[Tensor, Tensor, Tensor]:
    """Route predictions (B,J,I,D) by agreement, and keep what happens in each of T iterations.

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


def mask(poses: Tensor, label: Tensor) -> Tensor:
    """Zero all capsules of poses (B,J,D) but the one named by label (B,), and flatten: (B, J*D)."""
    classes = torch.arange(poses.shape[1], device=poses.device)  # (J,)
    chosen = (classes == label.unsqueeze(1)).unsqueeze(-1)  # (B,J,1)
    return (poses * chosen.to(poses.dtype)).flatten(1)
