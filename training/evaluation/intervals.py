"""Compute intervals and tests of error counts: Wilson's interval of a share, and Fisher's exact test."""

import math

from scipy.stats import fisher_exact

# 95 % of a normal distribution lie within so many standard deviations.
NORMAL_95 = 1.96


def wilson(wrong: int, count: int) -> tuple[float, float]:
    """Return the interval of 95 % of a share (Wilson 1927), from 0 to 1, for `wrong` of `count` > 0."""
    share, z = wrong / count, NORMAL_95
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def fisher_p(wrong: int, other: int, count: int) -> float:
    """Return the p-value of two counts of errors, each of `count` images, if both models are equally good.

    Fisher's exact test, two-sided. It takes the counts as independent, while models err on the same images. With the
    answers of both models, McNemar's test would be more powerful.
    """
    return float(fisher_exact([[wrong, count - wrong], [other, count - other]]).pvalue)
