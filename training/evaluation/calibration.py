"""Measure whether a length is a probability: of images with a longest capsule of 0.8, eight in ten should be right."""

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
    """Return bins of equal width and the expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Parameters
    ----------
    lengths
        (B,J) in [0,1].
    labels
        (B,).
    """
    longest, right = lengths.max(axis=1), lengths.argmax(axis=1) == labels
    indices = np.clip((longest * bins).astype(int), 0, bins - 1)
    masks = [indices == index for index in range(bins)]
    result = [_bin(longest[mask], right[mask], index, bins) for index, mask in enumerate(masks)]
    error = sum(b.images * abs(b.accuracy - b.length) for b in result) / len(labels)
    return result, error


def _bin(longest: np.ndarray, right: np.ndarray, index: int, bins: int) -> Bin:
    low, high = index / bins, (index + 1) / bins
    count = len(longest)
    if not count:
        return Bin(low, high, 0, 0.0, 0.0, (0.0, 0.0))
    share = float(right.mean())
    lowest, highest = wilson(int(right.sum()), count)
    interval = (max(0.0, share - lowest), max(0.0, highest - share))
    return Bin(low, high, count, float(longest.mean()), share, interval)
