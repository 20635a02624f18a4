"""Do the pixels of an image look like those of the training images? Their colours and edges tell, without the network.

A network of few images of one's own is sure of images that it knows nothing of: it draws a texture as well as a sign.
Its training images, however, have much in common: how bright and coloured they are, how steep their edges, how even
their grounds. About thirty such measures of each image are compared with those of the training images by their
Mahalanobis distance (Lee et al. 2018, https://arxiv.org/abs/1807.03888, use it on the features of a network).

Legend: B images, C channels, H height, W width, F measures.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from capsnet.card import Appearance

__all__ = ["UsualSpread", "fit", "measures", "unlikeness", "upper_bound"]

# Differences below half a level of 8 bits, or so, say nothing; logarithms begin there.
SMALLEST = 1 / 128
# A pixel is even where no neighbour differs by more.
EVEN = 0.02
SCALES, STEEP_SCALES, SMALLEST_SIDE = 4, 2, 4
# Fewer images do not say how much images vary.
FEWEST_IMAGES, FOLDS, LIMIT = 10, 5, 0.98
# Decimals that the card keeps.
DIGITS = 5


@dataclass(frozen=True)
class UsualSpread:
    """A standard deviation that is known from elsewhere, and how many values it counts for."""

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
        if min(images.shape[2:]) < SMALLEST_SIDE:
            break
        found += _edges(images)
        if scale < STEEP_SCALES:
            found += _steepness(images)
        images = _halved(images)
    return np.stack(found, axis=1)


def fit(images: np.ndarray) -> Appearance | None:
    """Return what images (N,C,H,W) in [0,1] have in common, or None if there are too few to say.

    The limit is above 98 % of their distances, each from the images of the four fifths without it.
    """
    if len(images) < FEWEST_IMAGES:
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
        limit=max(SMALLEST, round(upper_bound(distances, LIMIT), DIGITS)),
    )


def unlikeness(appearance: Appearance, images: np.ndarray) -> np.ndarray:
    """Return the distance (B,) of images (B,C,H,W) from the training images, where 1 is the limit.

    Raises
    ------
    ValueError
        If the card has another number of measures than this version makes of such images.
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


def upper_bound(values: np.ndarray, share: float, usual: UsualSpread | None = None) -> float:
    """Return a bound that a further value, above 0 like the values (N,), stays below with a chance of `share`.

    It is the percentile whose rank makes that so on average. Where there are too few values for such a rank, their
    logarithms are taken as normally distributed: the bound is that of the next one, by Student's distribution. A
    `usual` spread of such logarithms is then pooled with theirs, as a scaled inverse chi-squared prior of the variance
    (Gelman et al., "Bayesian Data Analysis", section 2.6).
    """
    count = len(values)
    rank = share * (count + 1)
    if rank <= count:
        return float(np.percentile(values, 100 * share, method="weibull"))
    if count == 1 and usual is None:
        return float(2 * values[0])
    logarithms = np.log(np.maximum(values, SMALLEST))
    freedom, squares = count - 1, float(count * logarithms.var())
    if usual is not None:
        freedom, squares = freedom + usual.weight, squares + usual.weight * usual.deviation**2
    far = student(share, freedom) * math.sqrt(squares / freedom * (1 + 1 / count))
    return float(np.exp(logarithms.mean() + far))


def student(share: float, freedom: int) -> float:
    """Return the quantile of Student's distribution by the expansion of Cornish and Fisher, 3 % off with 3 degrees."""
    z = NormalDist().inv_cdf(share)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _statistics(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (F,), spread (F,) and a factor (F,F) of the inverse of the correlation of measures (N,F).

    Fewer images estimate a correlation less well, so it is shrunk towards none: by a half where N is F.
    """
    count, size = found.shape
    mean, spread = found.mean(axis=0), found.std(axis=0) + SMALLEST / 4
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
    """Return how large the steps across and down are, and how even: each (B,)."""
    found = []
    for axis in (3, 2):
        steps = np.diff(images, axis=axis)
        mean, root = np.abs(steps).mean(axis=(1, 2, 3)), np.sqrt(np.square(steps).mean(axis=(1, 2, 3)))
        found += [_log(mean), np.log((mean + SMALLEST / 2) / (root + SMALLEST / 2))]
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
    logarithms: np.ndarray = np.log(values + SMALLEST)
    return logarithms
