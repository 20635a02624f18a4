"""Tell whether the pixels of an image are like those of the training images, by colours and edges, without the network.

A network of few images of a user's own is certain of images unlike them: it draws a texture as well as a sign. Its
training images, however, have much in common: how bright and coloured they are, how steep their edges, how even their
backgrounds. About thirty such measures of each image are compared with those of the training images by their
Mahalanobis distance (Lee et al. 2018, https://arxiv.org/abs/1807.03888, use it on the features of a network).

Legend: B images, C channels, H height, W width, F measures.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from capsnet.card import Appearance

__all__ = ["PriorSpread", "fit", "measures", "score", "upper_bound"]

# Logarithms begin here, because smaller differences are rounding errors of 8-bit pixels.
EPSILON = 1 / 128
# A pixel is even if no neighbour differs by more.
EVEN = 0.02
SCALES, STEEP_SCALES, MIN_SIDE = 4, 2, 4
# Fewer images do not show how much images vary.
MIN_IMAGES, FOLDS, LIMIT = 10, 5, 0.98
# Decimals in the card.
DIGITS = 5


@dataclass(frozen=True)
class PriorSpread:
    """A standard deviation known from other data, and the number of values that it counts for."""

    deviation: float
    weight: int


def measures(images: np.ndarray) -> np.ndarray:
    """Return the measures (B,F) of the pixels of images (B,C,H,W) in [0,1]."""
    images = images.astype(np.float64)
    grey = images.mean(axis=1)  # (B,C,H,W) -> (B,H,W)
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    mean = grey.mean(axis=(1, 2))
    found = [mean, _log(grey.std(axis=(1, 2))), _log(border.std(axis=1)), np.abs(border.mean(axis=1) - mean)]
    if images.shape[1] > 1:
        found += _colours(images)
    for scale in range(SCALES):
        if min(images.shape[2:]) < MIN_SIDE:
            break
        found += _edges(images)
        if scale < STEEP_SCALES:
            found += _steepness(images)
        images = _halved(images)
    return np.stack(found, axis=1)


def fit(images: np.ndarray) -> Appearance | None:
    """Return the statistics of images (N,C,H,W) in [0,1], or None if there are fewer than `MIN_IMAGES`.

    The limit is above 98 % of the images' distances, each measured from the four fifths of images without it.
    """
    if len(images) < MIN_IMAGES:
        return None
    found = measures(images)
    order = np.random.default_rng(0).permutation(len(found))
    distances = np.concatenate(
        [
            _distance(_statistics(np.delete(found, part, axis=0)), found[part])
            for part in np.array_split(order, FOLDS)
        ]
    )
    mean, spread, factor = (np.round(each, DIGITS) for each in _statistics(found))
    return Appearance(
        mean=tuple(mean.tolist()),
        spread=tuple(spread.tolist()),
        factor=tuple(tuple(row[: place + 1]) for place, row in enumerate(factor.tolist())),
        limit=max(EPSILON, round(upper_bound(distances, LIMIT), DIGITS)),
    )


def score(appearance: Appearance, images: np.ndarray) -> np.ndarray:
    """Return the distance (B,) of images (B,C,H,W) from the training images, as a multiple of the limit.

    Raises
    ------
    ValueError
        If the card has another number of measures than this version takes of such images.
    """
    found = measures(images)
    size = len(appearance.mean)
    if found.shape[1] != size:
        raise ValueError(
            f"the card has {size} measures of appearance, expected {found.shape[1]}; export the model again"
        )
    factor = np.zeros((size, size))
    factor[np.tril_indices(size)] = np.concatenate(appearance.factor)
    distances = _distance((np.array(appearance.mean), np.array(appearance.spread), factor), found)
    return distances / appearance.limit


def upper_bound(values: np.ndarray, share: float, prior: PriorSpread | None = None) -> float:
    """Return a bound below which a further value lies with probability `share`; values (N,) are positive.

    It is the percentile whose rank gives that probability on average. Where there are too few values for such a rank,
    their logarithms are taken as normally distributed, and the bound is that of a prediction interval (Student's t).
    A `prior` spread of such logarithms is then pooled with theirs, as a scaled inverse chi-squared prior of the
    variance (Gelman et al., "Bayesian Data Analysis", section 2.6).
    """
    count = len(values)
    rank = share * (count + 1)
    if rank <= count:
        return float(np.percentile(values, 100 * share, method="weibull"))
    if count == 1 and prior is None:
        return float(2 * values[0])
    logarithms = np.log(np.maximum(values, EPSILON))
    freedom, squares = count - 1, float(count * logarithms.var())
    if prior is not None:
        freedom, squares = freedom + prior.weight, squares + prior.weight * prior.deviation**2
    far = student_quantile(share, freedom) * math.sqrt(squares / freedom * (1 + 1 / count))
    return float(np.exp(logarithms.mean() + far))


def student_quantile(share: float, freedom: int) -> float:
    """Return a quantile of Student's distribution by an expansion that is 3 % off at 3 degrees of freedom.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5, without its last term.
    """
    z = NormalDist().inv_cdf(share)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _statistics(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (F,), spread (F,) and a factor (F,F) of the inverse of the correlation of measures (N,F).

    Fewer images estimate a correlation less well, so it is shrunk towards none: by a half where N is F.
    """
    count, size = found.shape
    mean, spread = found.mean(axis=0), found.std(axis=0) + EPSILON / 4
    scaled = (found - mean) / spread
    shrunk = size / (size + count)
    correlation = (1 - shrunk) * scaled.T @ scaled / count + shrunk * np.eye(size)
    return mean, spread, np.linalg.cholesky(np.linalg.inv(correlation))


def _distance(statistics: tuple[np.ndarray, np.ndarray, np.ndarray], found: np.ndarray) -> np.ndarray:
    """Return the Mahalanobis distance (B,) of measures (B,F), as a root mean square over the measures."""
    mean, spread, factor = statistics
    distances: np.ndarray = np.sqrt(np.square((found - mean) / spread @ factor).mean(axis=1))
    return distances


def _colours(images: np.ndarray) -> list[np.ndarray]:
    """Return mean and spread of the saturation, and the spread along each main axis of the colours: each (B,)."""
    saturation = images.max(axis=1) - images.min(axis=1)  # (B,C,H,W) -> (B,H,W)
    flat = images.reshape(*images.shape[:2], -1)  # (B,C,H,W) -> (B,C,HW)
    flat = flat - flat.mean(axis=2, keepdims=True)
    covariance = flat @ flat.transpose(0, 2, 1) / flat.shape[2]  # (B,C,C)
    axes = np.sqrt(np.clip(np.linalg.eigvalsh(covariance), 0, None))  # (B,C)
    return [_log(saturation.mean(axis=(1, 2))), _log(saturation.std(axis=(1, 2))), *_log(axes).T]


def _edges(images: np.ndarray) -> list[np.ndarray]:
    """Return the size of the steps between neighbours across and down, and their evenness: each (B,)."""
    found = []
    for axis in (3, 2):
        steps = np.diff(images, axis=axis)
        mean, root = np.abs(steps).mean(axis=(1, 2, 3)), np.sqrt(np.square(steps).mean(axis=(1, 2, 3)))
        found += [_log(mean), np.log((mean + EPSILON / 2) / (root + EPSILON / 2))]
    return found


def _steepness(images: np.ndarray) -> list[np.ndarray]:
    """Return the share of even pixels, and the median and 90th percentile of the largest step at each: each (B,)."""
    across, down = np.abs(np.diff(images, axis=3))[:, :, :-1], np.abs(np.diff(images, axis=2))[..., :-1]
    steepest = np.maximum(across, down).max(axis=1).reshape(len(images), -1)  # (B,C,H-1,W-1) -> (B,N)
    middle, steep = np.percentile(steepest, (50, 90), axis=1)
    return [(steepest < EVEN).mean(axis=1), _log(middle), _log(steep)]


def _halved(images: np.ndarray) -> np.ndarray:
    """Return means over 2 x 2 pixels of images (B,C,H,W), without an odd last row or column."""
    even = images[..., : images.shape[2] // 2 * 2, : images.shape[3] // 2 * 2]
    means: np.ndarray = (
        even[..., ::2, ::2] + even[..., 1::2, ::2] + even[..., ::2, 1::2] + even[..., 1::2, 1::2]
    ) / 4
    return means


def _log(values: np.ndarray) -> np.ndarray:
    """Return logarithms that stay finite at 0."""
    logarithms: np.ndarray = np.log(values + EPSILON)
    return logarithms
