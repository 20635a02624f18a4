"""Describe how good a small model is: its validation error with an interval, beside chance and a nearest neighbour."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, norm

from capsnet.appearance import upper_bound
from capsnet.guard import ACCEPTED, OWN_SHARE, SCORE_SPREAD
from training.evaluation.intervals import wilson

NEIGHBOUR_BATCH = 64
GUARDS = 4000


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
        """Return the share that the network gets wrong."""
        return self.wrong / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's interval of 95 % of the network's share."""
        return wilson(self.wrong, self.images)

    @property
    def near_chance(self) -> bool:
        """Tell whether the interval reaches chance, so that nothing shows that the network has learned."""
        return self.interval[1] >= self.chance

    def sentences(self) -> str:
        """Return the figures in words."""
        low, high = (100 * each for each in self.interval)
        return (
            f"validation error {100 * self.error:.1f} % ({self.wrong} of {self.images}; 95 % interval {low:.1f} to "
            f"{high:.1f} %), chance {100 * self.chance:.1f} %, nearest neighbour {100 * self.neighbour:.1f} %"
        )


def refused_share(images: int, accept: float = ACCEPTED, *, own: bool = False) -> tuple[float, float]:
    """Return the bounds, in 95 of 100 cases, of the share of good images that the guard refuses.

    The threshold is a percentile of the images' scores, usually the 95th. The share of a distribution above a value of
    such a rank follows a beta distribution, whatever the distribution of the scores. Where there are too few own images
    for a rank, the bounds are those of 4,000 guards, each fitted on so many values from a normal distribution of
    logarithms, whose spread is drawn from the prior of `capsnet.guard`.

    Parameters
    ----------
    images
        Number of validation images.
    accept
        Share of them that the threshold accepts, if they are no own images.
    own
        Whether they are own images: `capsnet.guard.fit` then takes another rank, which refuses 2 % on average.
    """
    rank = OWN_SHARE * (images + 1) if own else accept * (images - 1) + 1
    if rank <= images:
        low, high = beta.ppf((0.025, 0.975), images - rank + 1, rank)
        return float(low), float(high)
    random, freedom = np.random.default_rng(0), SCORE_SPREAD.weight
    spreads = SCORE_SPREAD.deviation * np.sqrt(freedom / random.chisquare(freedom, GUARDS))
    scores = np.exp(spreads[:, None] * random.standard_normal((GUARDS, images)))
    bounds = np.array([upper_bound(each, OWN_SHARE, SCORE_SPREAD) for each in scores])
    low, high = np.percentile(norm.sf(np.log(bounds) / spreads), (2.5, 97.5))
    return float(low), float(high)


def judge(
    predicted: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    training: np.ndarray,
    training_labels: np.ndarray,
) -> Verdict:
    """Compare the predictions (B,) with the labels (B,), with chance and with the nearest training images (N,C,H,W).

    Parameters
    ----------
    predicted, images, labels
        Of the validation images: the network's classes, uint8 (B,C,H,W), and the true classes.
    training, training_labels
        Of the training images.
    """
    frequent = np.bincount(training_labels).argmax()
    nearest = training_labels[nearest_neighbours(images, training)]
    return Verdict(
        images=len(labels),
        wrong=int((predicted != labels).sum()),
        chance=float((labels != frequent).mean()),
        neighbour=float((labels != nearest).mean()),
    )


def nearest_neighbours(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the row (B,) of the image in uint8 (N,C,H,W) that is nearest to each of uint8 (B,C,H,W)."""
    table = training.reshape(len(training), -1).astype(np.float32) / 255
    norms = np.square(table).sum(axis=1)
    nearest = []
    for first in range(0, len(images), NEIGHBOUR_BATCH):
        rows = images[first : first + NEIGHBOUR_BATCH].reshape(-1, table.shape[1]).astype(np.float32) / 255
        nearest.append((norms - 2 * rows @ table.T).argmin(axis=1))
    return np.concatenate(nearest)
