"""Is this image anything the network knows? Its reconstruction tells: after DARCCC (Frosst, Sabour, Hinton 2018).

"DARCCC: Detecting Adversaries by Reconstruction from Class Conditional Capsules", https://arxiv.org/abs/1811.06969.
What the winning capsule draws lies near an image of the kind the network was trained on, and far from anything else.
A decoder draws soft edges, a pixel beside the true ones as often as not, so both are blurred before they are compared:
what a good drawing has is then near, and a stroke that it lacks stays far. The distance alone knows little of images
with little ink, which are near to everything, and nothing of the lengths. Here it is taken together with both:

    strangeness = (distance / usual distance + w doubt) / sqrt(min(1, ink / usual ink))
    doubt       = 1 - longest capsule + second longest capsule

The weight w is 2, and 16 for networks of few images of one's own: their decoders draw less exactly, so the lengths say
more. Such networks know so few images that neither is enough. What the pixels of their training images have in common
counts as well (`capsnet.appearance`): 50 times the share by which an image is less like them than its limit is added to
the doubt. The usual value is the median over validation images of the winning class. An image is accepted where its
strangeness is at most the 95th percentile of theirs: by construction about 5 % of good images are refused. With images
of one's own, the bound is that of 98 %, and is placed so that few images suffice. Solved for the distance, that is a
threshold for each image, `thresholds`.

A network that looks for K objects in an image has K winners. The distance is then that of the image from the drawings
of all of them, laid over each other (`overlay`), and the doubt is what the K-th longest capsule and the next one leave.
The usual value of a class is the median over the images in which it is among the winners; for an image it is the mean
over its winners, and so is the percentile.

Legend: B images, K objects in each, J classes, C channels, H height, W width.
"""

from dataclasses import dataclass, replace

import numpy as np

from capsnet import appearance
from capsnet.card import Appearance, Guard
from capsnet.multi_object import overlay, top_classes

__all__ = [
    "ReconstructionCheck",
    "check_reconstructions",
    "distance",
    "doubt",
    "fit",
    "ink",
    "overlay",
    "strangeness",
    "thresholds",
    "top_classes",
]

DOUBT_WEIGHT, DOUBT_WEIGHT_OF_FOLDERS = 2.0, 16.0

# How much unlikeness to the training images counts: a tenth over its limit is as bad as 5 usual distances.
UNLIKE_WEIGHT = 50.0

# The 95th percentile of fewer images is no more than the largest of them. With images of one's own, so many say more.
FEWEST_IMAGES, FEWEST_OF_FOLDERS = 20, 100

# Share of good images that the threshold of images of one's own is meant to accept.
OWN_SHARE = 0.98
# Standard deviation of the logarithm of the strangeness of new images: 0.4 where there were 24 images, 0.1 to 0.3 where
# there were more. Four validation images may lie closer together by chance, and nearer: they chose the epoch.
STRANGENESS_SPREAD = appearance.UsualSpread(deviation=0.5, weight=8)

# Of a distance, an amount of ink or a share of it: keeps quotients finite.
SMALLEST = 1e-6


def distance(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Euclidean distance between each image and its reconstruction, of means over the 3 x 3 pixels around each pixel.

    Beyond the frame both are black.

    Parameters
    ----------
    images, reconstructions
        (B,C,H,W) in [0,1].

    Returns
    -------
    np.ndarray
        float32 (B,).

    Raises
    ------
    ValueError
        If the shapes differ (they are not broadcast: that would hide a mistake).
    """
    if images.shape != reconstructions.shape:
        raise ValueError(f"images are {images.shape} but reconstructions {reconstructions.shape}")
    return ink(_blurred(images - reconstructions))


def ink(images: np.ndarray) -> np.ndarray:
    """Euclidean norm (B,) of images (B,C,H,W): their distance from a blank."""
    norms: np.ndarray = np.sqrt(np.square(images).sum(axis=(1, 2, 3)))
    return norms


def doubt(lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """How far the lengths (B,J) are from K = `objects` capsules of length 1 and all others of 0: (B,), from 0 to 1."""
    longest = np.sort(lengths, axis=1)[:, ::-1]
    next_one = longest[:, objects] if lengths.shape[1] > objects else 0.0
    doubts: np.ndarray = 1 - longest[:, objects - 1] + next_one
    return doubts


def strangeness(
    guard: Guard, distances: np.ndarray, images: np.ndarray, lengths: np.ndarray, objects: int = 1
) -> np.ndarray:
    """How unlike the network's own images each one is: about 1 for a usual one, and without an upper bound.

    Parameters
    ----------
    guard
        Its `distance` and `ink` are the usual values.
    distances
        (B,) from what the winners draw together.
    images
        (B,C,H,W) in [0,1].
    lengths
        (B,J).
    objects
        K, how many the network looks for.

    Returns
    -------
    np.ndarray
        (B,).
    """
    label = top_classes(lengths, objects)  # (B,K)
    doubts = _doubts(guard, images, lengths, objects)
    scores: np.ndarray = (distances / _of(guard.distance, label) + doubts) / _fullness(guard, images, label)
    return scores


def thresholds(guard: Guard, images: np.ndarray, lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """The largest distance (B,) at which each image (B,C,H,W) with its lengths (B,J) is accepted.

    Below 0 where no reconstruction would be near enough.
    """
    label = top_classes(lengths, objects)  # (B,K)
    limits = _of(guard.p95, label) * _fullness(guard, images, label) - _doubts(
        guard, images, lengths, objects
    )
    largest: np.ndarray = _of(guard.distance, label) * limits
    return largest


@dataclass(frozen=True, slots=True)
class ReconstructionCheck:
    """How far the reconstruction is from the image, and whether the guard accepts that."""

    distance: float
    threshold: float
    accepted: bool


def check_reconstructions(
    guard: Guard, images: np.ndarray, drawn: np.ndarray, lengths: np.ndarray, objects: int = 1
) -> list[ReconstructionCheck]:
    """Compare images (B,C,H,W) of lengths (B,J) with what their K = `objects` winners draw together (B,C,H,W)."""
    limits = thresholds(guard, images, lengths, objects)
    return [
        ReconstructionCheck(near, max(0.0, limit), accepted=near <= limit)
        for near, limit in zip(distance(images, drawn).tolist(), limits.tolist(), strict=True)
    ]


def fit(
    distances: np.ndarray,
    images: np.ndarray,
    lengths: np.ndarray,
    objects: int = 1,
    doubt_weight: float = DOUBT_WEIGHT,
    looks: Appearance | None = None,
) -> Guard:
    """Return the usual values and the thresholds, from images that the network was not fitted on.

    A class that wins fewer than `FEWEST_IMAGES` takes the figures of all classes together. With `looks`, one that wins
    fewer than `FEWEST_OF_FOLDERS` takes the bounds of all classes together; `p95` is then the bound of `OWN_SHARE`.

    Parameters
    ----------
    distances
        (N,) as `distance` gives them for what the winners draw together.
    images
        (N,C,H,W) in [0,1].
    lengths
        (N,J).
    objects
        K, how many the network looks for.
    doubt_weight
        How much the lengths count beside the distance.
    looks
        What the training images have in common, where that is to count.

    Raises
    ------
    ValueError
        If there are no images, not one distance and one row of lengths for each, or a number that is not finite.
    """
    if not len(images) or not len(distances) == len(images) == len(lengths):
        raise ValueError(
            f"{len(distances)} distances, {len(images)} images and {len(lengths)} rows of lengths; "
            "expected as many of each, at least 1"
        )
    if not (np.isfinite(distances).all() and np.isfinite(lengths).all()):
        raise ValueError("a distance or a length is not finite")
    label = top_classes(lengths, objects)  # (N,K)
    members = [(label == own).any(axis=1) for own in range(lengths.shape[1])]
    members = [own if own.sum() >= FEWEST_IMAGES else np.ones_like(own) for own in members]
    usual = Guard(
        distance=tuple(max(SMALLEST, float(np.median(distances[own]))) for own in members),
        ink=tuple(max(SMALLEST, float(np.median(ink(images[own])))) for own in members),
        p95=(0.0,) * len(members),
        p99=(0.0,) * len(members),
        doubt_weight=doubt_weight,
        appearance=looks,
    )
    scores = strangeness(usual, distances, images, lengths, objects)
    if looks is None:
        p95, p99 = zip(*(np.percentile(scores[own], (95, 99)).tolist() for own in members), strict=True)
        return replace(usual, p95=p95, p99=p99)
    # Few images place a percentile badly. Appearance refuses most other images, so this bound spares good ones.
    members = [own if own.sum() >= FEWEST_OF_FOLDERS else np.ones_like(own) for own in members]
    p95 = tuple(appearance.upper_bound(scores[own], OWN_SHARE, STRANGENESS_SPREAD) for own in members)
    p99 = tuple(
        max(least, appearance.upper_bound(scores[own], 0.99, STRANGENESS_SPREAD))
        for own, least in zip(members, p95, strict=True)
    )
    return replace(usual, p95=p95, p99=p99)


def _doubts(guard: Guard, images: np.ndarray, lengths: np.ndarray, objects: int) -> np.ndarray:
    """How much (B,) the lengths, and the look of the images where the guard knows it, speak against each image."""
    doubts = guard.doubt_weight * doubt(lengths, objects)
    if guard.appearance is None:
        return doubts
    excess = np.clip(appearance.unlikeness(guard.appearance, images) - 1, 0, None)
    both: np.ndarray = doubts + UNLIKE_WEIGHT * excess
    return both


def _fullness(guard: Guard, images: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Square root of the share (B,) of the usual ink that each image has, at most 1."""
    share = ink(images) / _of(guard.ink, label)
    roots: np.ndarray = np.sqrt(np.clip(share, SMALLEST, 1))
    return roots


def _of(figures: tuple[float, ...], label: np.ndarray) -> np.ndarray:
    """The mean (B,) of a figure of each class over the winners, label (B,K), of each image."""
    means: np.ndarray = np.array(figures)[label].mean(axis=1)
    return means


def _blurred(images: np.ndarray) -> np.ndarray:
    """Mean of the 3 x 3 pixels around each of images (B,C,H,W), zero beyond their frames."""
    batch, channels, height, width = images.shape
    framed = np.zeros((batch, channels, height + 2, width + 2), images.dtype)
    framed[..., 1:-1, 1:-1] = images
    rows = framed[..., :-2, :] + framed[..., 1:-1, :] + framed[..., 2:, :]
    means: np.ndarray = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    return means
