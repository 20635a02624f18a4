"""Attack networks with slightly changed images, and measure how many of these the guard refuses.

FGSM  one step against the gradient's sign (Goodfellow, Shlens, Szegedy 2014, https://arxiv.org/abs/1412.6572)
BIM   many small steps (Kurakin, Goodfellow, Bengio 2016, https://arxiv.org/abs/1607.02533)
PGD   the same from a random start (Madry et al. 2017, https://arxiv.org/abs/1706.06083)
aware PGD that uses reconstructions: as soon as an image is misclassified, its steps bring the reconstruction nearer
      instead (similar to R-PGD, Qin et al. 2019, https://arxiv.org/abs/1907.02957)
adaptive PGD that uses the guard: its steps then lower the guard's own anomaly score over its threshold. More steps,
      which become shorter, and several starts, of which the one with the lowest score counts (an adaptive attack in the
      sense of Tramer et al. 2020, https://arxiv.org/abs/2002.08347)

No pixel changes by more than epsilon or leaves [0, 1]; the attacker knows all weights. The attack maximises the margin
of the best wrong class over the right one, in lengths or, for a CNN, in logits. It does not maximise the margin loss,
whose gradient is zero once every length is beyond its margin: a network would look robust for that reason alone.

Legend: B images, J classes, C channels, H height, W width.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from capsnet import guard
from capsnet.card import Guard
from model.nn import functional
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart

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
        Once the network is fooled, bring the reconstruction of the longest capsule nearer, for the guard.
    adaptive
        Once the network is fooled, lower the guard's score instead, and shorten the steps evenly to none.
    starts
        How often to begin, each time from another random start.
    """

    steps: int
    stride: float
    random_start: bool = False
    aware: bool = False
    adaptive: bool = False
    starts: int = 1

    @property
    def selects(self) -> bool:
        """Tell whether the best image of all steps counts, not the last."""
        return self.aware or self.adaptive


ATTACKS: dict[str, Attack] = {
    "FGSM": Attack(steps=1, stride=1.0),
    "BIM": Attack(steps=10, stride=0.15),
    "PGD": Attack(steps=20, stride=0.125, random_start=True),
    "aware PGD": Attack(steps=20, stride=0.125, random_start=True, aware=True),
    "adaptive PGD": Attack(steps=60, stride=0.125, random_start=True, adaptive=True, starts=3),
}


@dataclass(frozen=True)
class AttackResult:
    """The result of an attack on a network.

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


def outcomes(
    network: CapsuleNetwork,
    data: DatasetPart,
    thresholds: Guard,
    *,
    names: Collection[str] = ATTACKS,
    seed: int = 0,
) -> Iterator[AttackResult]:
    """Attack every image at every epsilon; the first result is without an attack.

    Parameters
    ----------
    network
        In evaluation mode.
    data
        Images that the network was not trained on, with their classes.
    thresholds
        Thresholds of the network's guard.
    names
        Names of the attacks, keys of `ATTACKS`; all by default.
    seed
        Seed of the random starts.
    """
    yield _outcome(network, data, thresholds, "none", 0.0, data.images.astype(np.float32) / 255)
    for name, attack in ((name, ATTACKS[name]) for name in ATTACKS if name in names):
        for epsilon in EPSILONS:
            generator = torch.Generator().manual_seed(seed)
            changed = [
                perturb(network, images, labels, attack, epsilon, generator, thresholds).numpy()
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
    thresholds: Guard,
) -> Tensor:
    """Return changed images (B,C,H,W), each within epsilon of its original and in [0,1], for classes (B,).

    An attack that selects returns the image that fooled the network with the nearest reconstruction, or with the lowest
    score of the guard; the others return the last image.
    """
    low, high = (images - epsilon).clamp_min(0), (images + epsilon).clamp_max(1)
    best, lowest = images, torch.full((len(images),), torch.inf)
    for _ in range(attack.starts):
        current = images
        if attack.random_start:
            noise = torch.rand(images.shape, generator=generator) * 2 - 1
            current = (images + epsilon * noise).clamp(low, high)
        # An attack that selects needs one more pass to score its last step.
        for step in range(attack.steps + attack.selects):
            direction, fooled, score = _gradient(network, current, labels, attack, thresholds)
            better = fooled & (score < lowest)
            best, lowest = torch.where(_wide(better), current, best), torch.where(better, score, lowest)
            last = current
            stride = attack.stride * (1 - step / attack.steps if attack.adaptive else 1)
            current = (current + stride * epsilon * direction.sign()).clamp(low, high)
    if not attack.selects:
        return current
    return torch.where(_wide(lowest < torch.inf), best, last)


def _gradient(
    network: CapsuleNetwork, images: Tensor, labels: Tensor, attack: Attack, thresholds: Guard
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the direction (B,C,H,W) to move, whether (B,) each image fools the network, and its score (B,)."""
    images = images.detach().requires_grad_()
    lengths, poses = network.encode(images)
    margin = _margin(network, lengths, poses, labels)  # (B,)
    fooled, score = margin.detach() > 0, torch.zeros(len(images))
    aim = margin
    if attack.selects:
        drawn = network.decode(poses, lengths.argmax(dim=1))
        if attack.adaptive:
            score = excess(thresholds, images, drawn, lengths)
        else:
            score = (drawn - images).square().flatten(1).sum(dim=1)  # (B,)
        aim = torch.where(fooled, -score, margin)
    (direction,) = torch.autograd.grad(aim.sum(), images)
    return direction, fooled, score.detach()


def excess(thresholds: Guard, images: Tensor, drawn: Tensor, lengths: Tensor) -> Tensor:
    """Return the guard's anomaly score of each image over its threshold, less 1: (B,), above 0 where it is refused.

    `capsnet.guard.anomaly_scores` with a gradient, for one object in an image.

    Parameters
    ----------
    thresholds
        Thresholds of the guard. Its appearance, which published models do not have, has no gradient and is left out.
    images, drawn
        (B,C,H,W) in [0,1], and what the longest capsules draw.
    lengths
        (B,J).
    """
    label = lengths.argmax(dim=1)
    reference, ink, p95 = (
        torch.tensor(figures)[label] for figures in (thresholds.distance, thresholds.ink, thresholds.p95)
    )
    blurred = F.avg_pool2d(images - drawn, 3, stride=1, padding=1)  # black beyond the frame
    distance = functional.norm(blurred.flatten(1))[:, 0]  # (B,)
    first, second = lengths.topk(2, dim=1).values.unbind(dim=1)
    uncertainty = thresholds.doubt_weight * (1 - first + second)
    share = functional.norm(images.flatten(1))[:, 0] / ink
    score = (distance / reference + uncertainty) / share.clamp(guard.EPSILON, 1).sqrt()
    return score / p95 - 1


def _margin(network: CapsuleNetwork, lengths: Tensor, poses: Tensor, labels: Tensor) -> Tensor:
    """Return by how much (B,) the best wrong class leads the right one; negative for a right classification."""
    scores = functional.logits(poses) if network.softmax else lengths  # (B,J)
    right = scores.gather(1, labels[:, None])[:, 0]
    wrong = scores.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return wrong - right


def _wide(flags: Tensor) -> Tensor:
    return flags[:, None, None, None]  # (B,) -> (B,1,1,1)


def _batches(data: DatasetPart) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(data.labels), BATCH):
        images = torch.from_numpy(data.images[first : first + BATCH]).float() / 255
        yield images, torch.from_numpy(data.labels[first : first + BATCH])


@torch.inference_mode()
def _outcome(
    network: CapsuleNetwork,
    data: DatasetPart,
    thresholds: Guard,
    name: str,
    epsilon: float,
    changed: np.ndarray,
) -> AttackResult:
    before = np.concatenate([network.encode(images)[0].argmax(dim=1).numpy() for images, _ in _batches(data)])
    predicted, refused = [], []
    for first in range(0, len(changed), BATCH):
        images = torch.from_numpy(changed[first : first + BATCH])
        lengths, _, drawn = (t.numpy() for t in network(images))
        limits = guard.thresholds(thresholds, images.numpy(), lengths)
        refused.append(guard.distance(images.numpy(), drawn) > limits)
        predicted.append(lengths.argmax(axis=1))
    wrong, caught = np.concatenate(predicted) != data.labels, np.concatenate(refused)
    fooled = wrong & (before == data.labels)
    return AttackResult(
        attack=name,
        epsilon=epsilon,
        images=len(changed),
        accuracy=float(1 - wrong.mean()),
        success=float(fooled.sum() / max(1, (before == data.labels).sum())),
        caught=float(caught[fooled].mean()) if fooled.any() else None,
        undetected=float((wrong & ~caught).mean()),
    )
