"""Is this image anything the network knows? Its reconstruction tells: DARCCC (Frosst, Sabour, Hinton 2018).

"DARCCC: Detecting Adversaries by Reconstruction from Class Conditional Capsules", https://arxiv.org/abs/1811.06969.
What the winning capsule draws lies near an image of the kind the network was trained on, and far from anything else.
An image is accepted where that distance is at most the 95th percentile of the distances of validation images of the
same class: by construction about 5 % of good images are refused.
"""

import numpy as np

from model.contract import Guard

# The 95th percentile of fewer images is no more than their largest distance.
FEWEST_IMAGES = 20


def distance(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Euclidean distance over all pixels between each image and its reconstruction.

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
    squares = np.square(images - reconstructions).sum(axis=(1, 2, 3))  # (B,C,H,W) -> (B,)
    distances: np.ndarray = np.sqrt(squares)
    return distances


def fit(distances: np.ndarray, labels: np.ndarray, num_classes: int) -> Guard:
    """Thresholds from images that the network was not fitted on.

    A class with fewer than `FEWEST_IMAGES` takes the percentiles of all classes together.

    Parameters
    ----------
    distances
        (N,) as `distance` gives them.
    labels
        (N,) the class whose capsule drew each reconstruction.
    num_classes
        J.

    Raises
    ------
    ValueError
        If there are no distances, not one label for each, a distance that is not finite, or a label outside 0 to J-1.
    """
    if not len(distances) or len(distances) != len(labels):
        raise ValueError(
            f"{len(distances)} distances and {len(labels)} labels; expected as many of each, at least 1"
        )
    if not np.isfinite(distances).all():
        raise ValueError("a distance is not finite")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels lie between {labels.min()} and {labels.max()}; expected 0 to {num_classes - 1}"
        )
    samples = [distances[labels == label] for label in range(num_classes)]
    samples = [own if len(own) >= FEWEST_IMAGES else distances for own in samples]
    p95, p99 = zip(*(np.percentile(own, (95, 99)).tolist() for own in samples), strict=True)
    return Guard(p95=p95, p99=p99)


def judge(guard: Guard, distance: float, label: int) -> tuple[float, bool]:
    """The threshold for the class `label`, and whether an image at `distance` is accepted."""
    threshold = guard.p95[label]
    return threshold, distance <= threshold
