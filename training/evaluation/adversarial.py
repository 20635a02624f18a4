"""Images changed a little so that a network takes them for something else, and how many of them its guard refuses.

FGSM  one step against the gradient's sign (Goodfellow, Shlens, Szegedy 2014, https://arxiv.org/abs/1412.6572)
BIM   many small steps (Kurakin, Goodfellow, Bengio 2016, https://arxiv.org/abs/1607.02533)
PGD   the same from a random start (Madry et al. 2017, https://arxiv.org/abs/1706.06083)
aware PGD that knows the guard: as soon as an image is taken for something else, its steps make the reconstruction
      nearer instead (in the way of R-PGD, Qin et al. 2019, https://arxiv.org/abs/1907.02957)

No pixel moves by more than epsilon or leaves [0, 1]; the attacker knows all weights. The loss that rises is the lead of
the best wrong class over the right one, in lengths or, for a CNN, in logits. It is not the margin loss: that has no
gradient at all once every length is beyond its margin, and a network would look strong for that alone.

Legend: B images, J classes, C channels, H height, W width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from capsnet import guard
from capsnet.card import Guard
from model.nn import functional
from model.nn.layers import CapsuleNetwork
from training.data.datasets import Split

EPSILONS = (0.1, 0.3)
BATCH = 100


@dataclass(frozen=True)
class Attack:
    """How to look for a change that fools a network.

    Attributes
    ----------
    steps
        How many gradients to follow.
    stride
        Length of a step, as a share of epsilon.
    random_start
        Begin anywhere within epsilon instead of at the image.
    aware
        Once the network is fooled, make what its winner draws nearer, for the guard.
    """

    steps: int
    stride: float
    random_start: bool = False
    aware: bool = False


ATTACKS: dict[str, Attack] = {
    "FGSM": Attack(steps=1, stride=1.0),
    "BIM": Attack(steps=10, stride=0.15),
    "PGD": Attack(steps=20, stride=0.125, random_start=True),
    "aware PGD": Attack(steps=20, stride=0.125, random_start=True, aware=True),
}


@dataclass(frozen=True)
class Outcome:
    """What an attack did to a network.

    `accuracy` is the share of all images still classified rightly, `success` the share of those classified rightly
    before that no longer are, `caught` the share of these that the guard refuses (None where none succeeded), and
    `undetected` the share of all images that are classified wrongly and accepted.
    """

    attack: str
    epsilon: float
    images: int
    accuracy: float
    success: float
    caught: float | None
    undetected: float


def outcomes(network: CapsuleNetwork, data: Split, thresholds: Guard, *, seed: int = 0) -> Iterator[Outcome]:
    """Attack every image with every attack at every epsilon; the first outcome is that of no attack at all.

    Parameters
    ----------
    network
        In evaluation mode.
    data
        Images that the network was not trained on, with their classes.
    thresholds
        Of the network's guard.
    seed
        Of the random starts.
    """
    yield _outcome(network, data, thresholds, "none", 0.0, data.images.astype(np.float32) / 255)
    for name, attack in ATTACKS.items():
        for epsilon in EPSILONS:
            generator = torch.Generator().manual_seed(seed)
            changed = [
                perturb(network, images, labels, attack, epsilon, generator).numpy()
                for images, labels in _batches(data)
            ]
            yield _outcome(network, data, thresholds, name, epsilon, np.concatenate(changed))


def perturb(
    network: CapsuleNetwork,
    images: Tensor,
    labels: Tensor,
    attack: Attack,
    epsilon: float,
    generator: torch.Generator,
) -> Tensor:
    """Changed images (B,C,H,W), each within epsilon of its own and in [0,1], for classes (B,).

    Of an attack that knows the guard, the one of its images that fooled the network with the nearest reconstruction;
    of the others the last.
    """
    low, high = (images - epsilon).clamp_min(0), (images + epsilon).clamp_max(1)
    current = images
    if attack.random_start:
        noise = torch.rand(images.shape, generator=generator) * 2 - 1
        current = (images + epsilon * noise).clamp(low, high)
    best, nearest = current, torch.full((len(images),), torch.inf)
    for _ in range(attack.steps + attack.aware):  # an aware attack looks once more at what its last step did
        direction, fooled, distance = _gradient(network, current, labels, aware=attack.aware)
        better = fooled & (distance < nearest)
        best, nearest = torch.where(_wide(better), current, best), torch.where(better, distance, nearest)
        last = current
        current = (current + attack.stride * epsilon * direction.sign()).clamp(low, high)
    if not attack.aware:
        return current
    return torch.where(_wide(nearest < torch.inf), best, last)


def _gradient(
    network: CapsuleNetwork, images: Tensor, labels: Tensor, *, aware: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Where to (B,C,H,W) each image should move, whether (B,) it fools the network, and its distance (B,)."""
    images = images.detach().requires_grad_()
    lengths, poses = network.encode(images)
    lead = _lead(network, lengths, poses, labels)  # (B,)
    fooled, distance = lead.detach() > 0, torch.zeros(len(images))
    aim = lead
    if aware:
        drawn = network.decode(poses, lengths.argmax(dim=1))
        squared = (drawn - images).square().flatten(1).sum(dim=1)  # (B,)
        aim = torch.where(fooled, -squared, lead)
        distance = squared.detach().sqrt()
    (direction,) = torch.autograd.grad(aim.sum(), images)
    return direction, fooled, distance


def _lead(network: CapsuleNetwork, lengths: Tensor, poses: Tensor, labels: Tensor) -> Tensor:
    """By how much (B,) the best wrong class leads the right one; negative where the image is classified rightly."""
    scores = functional.logits(poses) if network.softmax else lengths  # (B,J)
    right = scores.gather(1, labels[:, None])[:, 0]
    wrong = scores.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return wrong - right


def _wide(flags: Tensor) -> Tensor:
    return flags[:, None, None, None]  # (B,) -> (B,1,1,1)


def _batches(data: Split) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(data.labels), BATCH):
        images = torch.from_numpy(data.images[first : first + BATCH]).float() / 255
        yield images, torch.from_numpy(data.labels[first : first + BATCH])


@torch.inference_mode()
def _outcome(
    network: CapsuleNetwork, data: Split, thresholds: Guard, name: str, epsilon: float, changed: np.ndarray
) -> Outcome:
    before = np.concatenate([network.encode(images)[0].argmax(dim=1).numpy() for images, _ in _batches(data)])
    found, refused = [], []
    for first in range(0, len(changed), BATCH):
        images = torch.from_numpy(changed[first : first + BATCH])
        lengths, _, drawn = (t.numpy() for t in network(images))
        limits = guard.thresholds(thresholds, images.numpy(), lengths)
        refused.append(guard.distance(images.numpy(), drawn) > limits)
        found.append(lengths.argmax(axis=1))
    wrong, strange = np.concatenate(found) != data.labels, np.concatenate(refused)
    fooled = wrong & (before == data.labels)
    return Outcome(
        attack=name,
        epsilon=epsilon,
        images=len(changed),
        accuracy=float(1 - wrong.mean()),
        success=float(fooled.sum() / max(1, (before == data.labels).sum())),
        caught=float(strange[fooled].mean()) if fooled.any() else None,
        undetected=float((wrong & ~strange).mean()),
    )
