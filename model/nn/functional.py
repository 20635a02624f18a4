"""Compute the functions of capsule networks on tensors; the modules of `model.nn.layers` hold parameters.

Legend: B batch, I input capsules, J output capsules, E dimensions of an input capsule, D of an output capsule (pose),
C channels, H height, W width.

All of it must run in float32: in bfloat16 the exponentials and norms below lose the small differences on which routing
depends. The layers ensure that by `float32_squash` and by leaving autocast. `model.nn.routing` holds the routing.
"""

import torch
from torch import Tensor

# Least value under every square root, whose derivative is infinite at 0: the norm of a zero vector would give NaN
# gradients. A lower bound rather than a summand, because the ONNX exporter's optimizer takes "+ 1e-8" for "+ 0" and
# drops it, and then a zero capsule is 0/0 in the exported graph.
EPSILON = 1e-8


def norm(s: Tensor) -> Tensor:
    """Return the Euclidean norm over the last axis, kept as an axis of size 1, with a finite gradient at zero."""
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
    """Return lengths (B,J) of capsules (B,J,D): how sure the network is that each class is present."""
    return norm(poses).squeeze(-1)


def logits(groups: Tensor) -> Tensor:
    """Return logits (B,J) of groups of units (B,J,D): their sums (Qin et al. 2019), if the classes compete."""
    return groups.sum(dim=-1)


def capsules_from_channels(features: Tensor, dim: int) -> Tensor:
    """Cut feature maps (B, T*E, H, W) into capsules (B, H*W*T, E), where E is `dim`.

    A capsule is made of `dim` neighbouring *channels of one pixel*; a plain reshape of the channels-first tensor would
    make it of `dim` neighbouring pixels of one channel instead.
    """
    pixels_first = features.permute(0, 2, 3, 1)  # (B,H,W,T*E)
    return pixels_first.reshape(features.shape[0], -1, dim)  # (B,H*W*T,E)


def mask(poses: Tensor, label: Tensor) -> Tensor:
    """Zero all capsules of poses (B,J,D) but the one named by label (B,), and flatten: (B, J*D)."""
    classes = torch.arange(poses.shape[1], device=poses.device)  # (J,)
    chosen = (classes == label.unsqueeze(1)).unsqueeze(-1)  # (B,J,1)
    return (poses * chosen.to(poses.dtype)).flatten(1)
