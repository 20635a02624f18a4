"""Compute the losses as the papers define them: two of a capsule network, and the cross-entropy of the CNNs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.nn import functional
from model.nn.layers import CapsuleNetwork

PRESENT = 0.9
ABSENT = 0.1
DOWN_WEIGHT = 0.5


def one_hot_targets(labels: Tensor, num_classes: int) -> Tensor:
    """Return which classes are in each image: 1.0 or 0.0 (B,J), from labels (B,) or, for K objects, (B,K)."""
    one_hot = torch.nn.functional.one_hot(labels.view(len(labels), -1), num_classes)  # (B,K,J)
    return one_hot.sum(dim=1).float()


def margin_loss(lengths: Tensor, targets: Tensor) -> Tensor:
    """Return the margin loss of each sample, summed over the classes: (B,)  (Sabour et al. 2017, equation 4).

    L_k = T_k max(0, 0.9 - |v_k|)^2 + 0.5 (1 - T_k) max(0, |v_k| - 0.1)^2

    Parameters
    ----------
    lengths
        (B,J) lengths of the class capsules.
    targets
        (B,J) 1 where the class is in the image, 0 elsewhere, or between them where a teacher is in doubt.
    """
    present = torch.relu(PRESENT - lengths).square()
    absent = torch.relu(lengths - ABSENT).square()
    return (targets * present + DOWN_WEIGHT * (1 - targets) * absent).sum(dim=1)


def class_loss(network: CapsuleNetwork, lengths: Tensor, poses: Tensor, targets: Tensor) -> Tensor:
    """Return the classification loss of each sample, (B,): the margin loss, or a CNN's cross-entropy.

    Parameters
    ----------
    network
        The network; its `softmax` tells whether its classes compete.
    lengths, poses
        (B,J) and (B,J,D), as its `encode` gives them.
    targets
        (B,J) 1 where the class is in the image, 0 elsewhere, or between them where a teacher is in doubt.
    """
    if network.softmax:  # from the logits: the logarithm of a probability near 0 has lost its digits
        return F.cross_entropy(functional.logits(poses), targets, reduction="none")
    return margin_loss(lengths, targets)


def reconstruction_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """Return the sum of squared pixel errors of each sample, over all its objects: (B,) from two tensors (B,...).

    Sabour et al. 2017, https://arxiv.org/abs/1710.09829, section 4.1.
    """
    return (reconstruction - images).square().flatten(1).sum(dim=1)
