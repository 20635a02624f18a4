"""Is a length a probability? Of the images whose longest capsule is 0.8 long, eight in ten should be right."""

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import wilson

BINS = 15


@dataclass(frozen=True)
class Bin:
    """The images whose longest capsule is between `low` and `high`: how many, their mean length and share right.

    `interval` is how far the share may be below and above what was measured (Wilson's interval of 95 %).
    """

    low: float
    high: float
    images: int
    length: float
    accuracy: float
    interval: tuple[float, float]


def calibrate(lengths: np.ndarray, labels: np.ndarray, bins: int = BINS) -> tuple[list[Bin], float]:
    """Bins of equal width, and the expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Parameters
    ----------
    lengths
        (B,J) in [0,1].
    labels
        (B,).
    """
    longest, right = lengths.max(axis=1), lengths.argmax(axis=1) == labels
    places = np.clip((longest * bins).astype(int), 0, bins - 1)
    found = [_bin(longest[places == place], right[places == place], place, bins) for place in range(bins)]
    error = sum(b.images * abs(b.accuracy - b.length) for b in found) / len(labels)
    return found, error


def _bin(longest: np.ndarray, right: np.ndarray, place: int, bins: int) -> Bin:
    low, high = place / bins, (place + 1) / bins
    count = len(longest)
    if not count:
        return Bin(low, high, 0, 0.0, 0.0, (0.0, 0.0))
    share = float(right.mean())
    lowest, highest = wilson(int(right.sum()), count)
    interval = (max(0.0, share - lowest), max(0.0, highest - share))
    return Bin(low, high, count, float(longest.mean()), share, interval)
