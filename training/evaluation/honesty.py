"""Say how good a small model is: its validation error with an interval, beside chance and a nearest neighbour."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from training.evaluation.intervals import wilson

NEIGHBOUR_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Shares of validation images that are wrong.

    Attributes
    ----------
    images, wrong
        How many images there are, and how many the network classifies wrongly.
    chance
        Share that the most frequent class of the training images gets wrong.
    neighbour
        Share that the nearest training image, by its pixels, gets wrong.
    """

    images: int
    wrong: int
    chance: float
    neighbour: float

    @property
    def error(self) -> float:
        """The network's share."""
        return self.wrong / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The network's share as it may be of other images of the kind: Wilson's interval of 95 %."""
        return wilson(self.wrong, self.images)

    @property
    def near_chance(self) -> bool:
        """Whether the interval reaches chance, so that nothing shows that the network has learned."""
        return self.interval[1] >= self.chance

    def sentences(self) -> str:
        """Return what the figures say."""
        low, high = (100 * each for each in self.interval)
        return (
            f"validation error {100 * self.error:.1f} % ({self.wrong} of {self.images}; 95 % interval {low:.1f} to "
            f"{high:.1f} %), chance {100 * self.chance:.1f} %, nearest neighbour {100 * self.neighbour:.1f} %"
        )


def refused_share(images: int, *, own: bool = False) -> tuple[float, float]:
    """Return between which shares of good images a guard from so many validation images refuses, in 95 of 100 cases.

    The threshold is the 95th percentile of the images' strangeness. The share of a distribution that lies above a value
    of such a rank follows a beta distribution, whatever the strangeness is like.

    Parameters
    ----------
    images
        Number of validation images.
    own
        Whether they are of one's own: `capsnet.guard.fit` takes another rank then, which refuses 5 % on average.
    """
    rank = min(images, 0.95 * (images + 1)) if own else 0.95 * (images - 1) + 1
    low, high = beta.ppf((0.025, 0.975), images - rank + 1, rank)
    return float(low), float(high)


def judge(
    predicted: np.ndarray, images: np.ndarray, labels: np.ndarray, seen: np.ndarray, seen_labels: np.ndarray
) -> Verdict:
    """Compare predictions (B,) with labels (B,), and with what training images seen (N,C,H,W) would say.

    Parameters
    ----------
    predicted, images, labels
        Of the validation images: the network's classes, uint8 (B,C,H,W), and the true classes.
    seen, seen_labels
        Of the training images.
    """
    frequent = np.bincount(seen_labels).argmax()
    nearest = seen_labels[nearest_neighbours(images, seen)]
    return Verdict(
        images=len(labels),
        wrong=int((predicted != labels).sum()),
        chance=float((labels != frequent).mean()),
        neighbour=float((labels != nearest).mean()),
    )


def nearest_neighbours(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the row (B,) of the image in uint8 (N,C,H,W) that is nearest to each of uint8 (B,C,H,W)."""
    table = seen.reshape(len(seen), -1).astype(np.float32) / 255
    norms = np.square(table).sum(axis=1)
    found = []
    for first in range(0, len(images), NEIGHBOUR_BATCH):
        rows = images[first : first + NEIGHBOUR_BATCH].reshape(-1, table.shape[1]).astype(np.float32) / 255
        found.append((norms - 2 * rows @ table.T).argmin(axis=1))
    return np.concatenate(found)
