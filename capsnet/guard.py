"""Tell whether an image is out-of-distribution (OOD) by its reconstruction, after DARCCC (Frosst, Sabour, Hinton 2018).

"DARCCC: Detecting Adversaries by Reconstruction from Class Conditional Capsules", https://arxiv.org/abs/1811.06969.
The drawing of the longest capsule lies near an image of the kind that the network was trained on, and far from other
images. A decoder draws soft edges, often a pixel beside the true ones. So both images are blurred before they are
compared: then a good drawing is near, and one that lacks a stroke stays far. The distance alone is small for images
with little ink, and it ignores the lengths. So the guard combines it with both:

    anomaly score = (distance / reference distance + w uncertainty) / sqrt(min(1, norm / reference norm))
    uncertainty   = 1 - longest capsule + second longest capsule

The weight w is 2, and 16 for networks of few images of a user's own: their decoders draw less exactly, so the lengths
tell more. For such networks both together are not enough. The statistics of the training images' pixels count as well
(`capsnet.appearance`): 50 times the share by which an image exceeds their limit is added to the uncertainty.

The reference is the median over validation images of the winning class. An image is accepted if its score is at most
the 95th percentile of their scores, so about 5 % of good images are refused. For a user's own images the bound is that
of 98 %, placed so that few images suffice. Solved for the distance, the bound is a threshold for each image,
`thresholds`.

A network that looks for K objects in an image has K winners. Then the distance is that of the image from the drawings
of all winners, added up (`overlay`), and the uncertainty uses the K-th longest capsule and the next one. The reference
of a class is the median over the images in which it is a winner. For an image, references and percentiles are means
over its winners.

Legend: B images, K objects in each, J classes, C channels, H height, W width.
"""

from dataclasses import dataclass, replace

import numpy as np

from capsnet import appearance
from capsnet.card import Appearance, Guard
from capsnet.multi_object import overlay, top_classes

__all__ = [
    "ReconstructionCheck",
    "anomaly_scores",
    "check_reconstructions",
    "distance",
    "enough",
    "fit",
    "image_norm",
    "overlay",
    "thresholds",
    "top_classes",
    "uncertainty",
]

# Share of good images that the guard accepts.
ACCEPTED = 0.95

DOUBT_WEIGHT, DOUBT_WEIGHT_OF_FOLDERS = 2.0, 16.0

# Weight of the appearance: a tenth above its limit counts as 5 reference distances.
APPEARANCE_WEIGHT = 50.0

# The 95th percentile of fewer images is simply their maximum. For own images, the bound of 98 % needs more.
MIN_IMAGES, MIN_OWN_IMAGES = 20, 100

# Share of good own images that their bound should accept.
OWN_SHARE = 0.98
# Standard deviation of the logarithm of the anomaly score of new images: 0.4 for 24 images, 0.1 to 0.3 for more. Four
# validation images may lie closer together by chance. They also have smaller scores, because they chose the epoch.
SCORE_SPREAD = appearance.PriorSpread(deviation=0.5, weight=8)

# Smallest distance, norm or ratio of norms, so that quotients stay finite.
EPSILON = 1e-6


def distance(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance between images and reconstructions, each blurred by means over 3 x 3 pixels.

    Pixels outside the frame count as 0.

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
        If the shapes differ; they are not broadcast, which would hide a mistake.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(f"images are {images.shape} but reconstructions {reconstructions.shape}")
    return image_norm(_blurred(images - reconstructions))


def image_norm(images: np.ndarray) -> np.ndarray:
    """Return the Euclidean norm (B,) of images (B,C,H,W), the distance from an empty image."""
    norms: np.ndarray = np.sqrt(np.square(images).sum(axis=(1, 2, 3)))
    return norms


def uncertainty(lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """Return 1 minus the K-th longest plus the next capsule of lengths (B,J), K = `objects`: (B,), 0 is certain."""
    longest = np.sort(lengths, axis=1)[:, ::-1]
    next_one = longest[:, objects] if lengths.shape[1] > objects else 0.0
    values: np.ndarray = 1 - longest[:, objects - 1] + next_one
    return values


def anomaly_scores(
    guard: Guard, distances: np.ndarray, images: np.ndarray, lengths: np.ndarray, objects: int = 1
) -> np.ndarray:
    """Return the anomaly score of each image: about 1 for validation images, without an upper bound.

    Parameters
    ----------
    guard
        Its `distance` and `ink` are the references.
    distances
        (B,) of the images from the drawings of their winners.
    images
        (B,C,H,W) in [0,1].
    lengths
        (B,J).
    objects
        K, the number of objects that the network looks for.

    Returns
    -------
    np.ndarray
        (B,).
    """
    label = top_classes(lengths, objects)  # (B,K)
    weighted = _weighted_uncertainty(guard, images, lengths, objects)
    scores: np.ndarray = (distances / _mean_over_top_classes(guard.distance, label) + weighted) / _norm_ratio(
        guard, images, label
    )
    return scores


def thresholds(guard: Guard, images: np.ndarray, lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """Return the largest accepted distance (B,) for images (B,C,H,W) of lengths (B,J).

    It is below 0 where even a perfect reconstruction is refused.
    """
    label = top_classes(lengths, objects)  # (B,K)
    limits = _mean_over_top_classes(guard.p95, label) * _norm_ratio(
        guard, images, label
    ) - _weighted_uncertainty(guard, images, lengths, objects)
    largest: np.ndarray = _mean_over_top_classes(guard.distance, label) * limits
    return largest


@dataclass(frozen=True, slots=True)
class ReconstructionCheck:
    """The distance of a reconstruction from its image, and whether the guard accepts it."""

    distance: float
    threshold: float
    accepted: bool


def check_reconstructions(
    guard: Guard, images: np.ndarray, drawn: np.ndarray, lengths: np.ndarray, objects: int = 1
) -> list[ReconstructionCheck]:
    """Compare images (B,C,H,W) of lengths (B,J) with the drawings (B,C,H,W) of their K = `objects` winners."""
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
    accept: float = ACCEPTED,
) -> Guard:
    """Return references and thresholds from images that the network was not fitted on.

    A class that wins fewer than `MIN_IMAGES` takes the values of all classes together. With `looks`, one that wins
    fewer than `MIN_OWN_IMAGES` takes the bounds of all classes together; `p95` is then the bound of `OWN_SHARE`.

    Parameters
    ----------
    distances
        (N,) from `distance`, of the images from the drawings of their winners.
    images
        (N,C,H,W) in [0,1].
    lengths
        (N,J).
    objects
        K, the number of objects that the network looks for.
    doubt_weight
        Weight of the uncertainty beside the distance.
    looks
        Statistics of the training images, where they are to count.
    accept
        Share of the images of each class that `p95` accepts; without `looks`.

    Raises
    ------
    ValueError
        If there are no images, not one distance and one row of lengths for each, or a number that is not finite.
    """
    _check_samples(distances, images, lengths)
    label = top_classes(lengths, objects)  # (N,K)
    wins = [(label == own).any(axis=1) for own in range(lengths.shape[1])]
    members = enough(wins, MIN_IMAGES)
    reference = Guard(
        distance=tuple(max(EPSILON, float(np.median(distances[own]))) for own in members),
        ink=tuple(max(EPSILON, float(np.median(image_norm(images[own])))) for own in members),
        p95=(0.0,) * len(members),
        p99=(0.0,) * len(members),
        doubt_weight=doubt_weight,
        appearance=looks,
    )
    scores = anomaly_scores(reference, distances, images, lengths, objects)
    if looks is None:
        p95, p99 = zip(
            *(np.percentile(scores[own], (100 * accept, 99)).tolist() for own in members), strict=True
        )
    else:
        p95, p99 = _own_bounds(scores, enough(wins, MIN_OWN_IMAGES))
    return replace(reference, p95=p95, p99=p99, accepts=accept if looks is None else OWN_SHARE)


def _check_samples(distances: np.ndarray, images: np.ndarray, lengths: np.ndarray) -> None:
    """Raise ValueError unless there are as many distances and lengths as images, all of them finite."""
    if not len(images) or not len(distances) == len(images) == len(lengths):
        raise ValueError(
            f"{len(distances)} distances, {len(images)} images and {len(lengths)} rows of lengths; "
            "expected as many of each, at least 1"
        )
    if not (np.isfinite(distances).all() and np.isfinite(lengths).all()):
        raise ValueError("a distance or a length is not finite")


def enough(members: list[np.ndarray], least: int) -> list[np.ndarray]:
    """Return the images (N,) of each class, as booleans, or all images for a class that has fewer than `least`."""
    return [own if own.sum() >= least else np.ones_like(own) for own in members]


def _own_bounds(scores: np.ndarray, members: list[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the bounds of `OWN_SHARE` and of 99 % of scores (N,) for each class.

    Few images place a percentile badly. The appearance refuses most other images, so this bound spares good ones.
    """
    lower = tuple(appearance.upper_bound(scores[own], OWN_SHARE, SCORE_SPREAD) for own in members)
    upper = (appearance.upper_bound(scores[own], 0.99, SCORE_SPREAD) for own in members)
    return lower, tuple(map(max, lower, upper))


def _weighted_uncertainty(guard: Guard, images: np.ndarray, lengths: np.ndarray, objects: int) -> np.ndarray:
    """Return the weighted uncertainty (B,) of the lengths, plus that of the appearance where the guard has it."""
    weighted = guard.doubt_weight * uncertainty(lengths, objects)
    if guard.appearance is None:
        return weighted
    excess = np.clip(appearance.score(guard.appearance, images) - 1, 0, None)
    both: np.ndarray = weighted + APPEARANCE_WEIGHT * excess
    return both


def _norm_ratio(guard: Guard, images: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the square root of the ratio (B,) of each image's norm to its reference, at most 1."""
    ratio = image_norm(images) / _mean_over_top_classes(guard.ink, label)
    roots: np.ndarray = np.sqrt(np.clip(ratio, EPSILON, 1))
    return roots


def _mean_over_top_classes(values: tuple[float, ...], label: np.ndarray) -> np.ndarray:
    """Return the mean (B,) of values of each class over the top classes, label (B,K), of each image."""
    means: np.ndarray = np.array(values)[label].mean(axis=1)
    return means


def _blurred(images: np.ndarray) -> np.ndarray:
    """Return the mean of the 3 x 3 pixels around each pixel of images (B,C,H,W), with zeros outside the frame."""
    batch, channels, height, width = images.shape
    framed = np.zeros((batch, channels, height + 2, width + 2), images.dtype)
    framed[..., 1:-1, 1:-1] = images
    rows = framed[..., :-2, :] + framed[..., 1:-1, :] + framed[..., 2:, :]
    means: np.ndarray = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
    return means
