"""Name the pose dimensions of each class by measurement, where they are clear: thickness, slant, width and so on.

A dimension is *named* after a property if both hold:

- its value alone predicts the property of images that the line was not fitted to, with R squared of at least `CLEAR`;
- moving it by ±0.25 moves the property of what the decoder draws in the same direction, by at least half a standard
  deviation of the property, and in at least nine of ten images.

The first condition alone would name a dimension that only correlates with one that draws the property. The second alone
would name a property for which the encoder does not use the dimension. All images are training images, because naming
is a choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capsnet.card import ModelCard, PoseMeaning
from capsnet.config import UserError
from capsnet.onnx_model import Model
from training.data.datasets import DatasetPart
from training.evaluation.morphology import PROPERTIES, STROKES, measure

CLEAR = 0.5
LEAST_EFFECT, LEAST_AGREEMENT = 0.5, 0.9
REACH = 0.25
# Images of a class: the most that are read, of which a third score, the fewest, and those that are redrawn.
IMAGES, FEWEST, REDRAWN = 600, 60, 24
# Digits are centred, so shifts are measured on copies moved by up to so many pixels, as in training.
MOVED = 2
TINY = 1e-12
SHIFTS = ("horizontal shift", "vertical shift")


class MeaningError(UserError):
    """A model's dimensions cannot be measured; the message says why."""


@dataclass(frozen=True)
class PoseStatistics:
    """How the pose of one class and the properties of its images relate: D dimensions by P properties.

    Attributes
    ----------
    whole
        (P,) held-out R squared of each property by all dimensions together.
    alone
        (D,P) held-out R squared by one dimension; negative where it is worse than the mean.
    sign
        (D,P) +1 where the property grows with the dimension, -1 where it shrinks.
    partial
        (D,P) held-out partial correlation, given the other dimensions.
    effect
        (D,P) what moving the dimension from -0.25 to +0.25 does to the property of the drawing, in standard deviations
        of the property; the mean over images.
    agreement
        (D,P) share of the images that it moves the way that it moves the mean.
    """

    whole: np.ndarray
    alone: np.ndarray
    sign: np.ndarray
    partial: np.ndarray
    effect: np.ndarray
    agreement: np.ndarray

    def is_significant(self) -> np.ndarray:
        """Tell where (D,P) the decoder moves the property clearly, and in the same direction as in the images."""
        clear = (np.abs(self.effect) >= LEAST_EFFECT) & (self.agreement >= LEAST_AGREEMENT)
        moved: np.ndarray = clear & (np.sign(self.effect) == self.sign)
        return moved

    def label_dims(self, properties: tuple[str, ...]) -> tuple[PoseMeaning, ...]:
        """Return the dimensions that have a meaning, each with its clearest one."""
        scores = np.where(self.is_significant(), self.alone, 0.0)
        return tuple(
            PoseMeaning(dim=dim, meaning=properties[row.argmax()], score=round(float(row.max()), 3))
            for dim, row in enumerate(scores)
            if row.max() >= CLEAR
        )


def properties_of(card: ModelCard) -> tuple[str, ...]:
    """Return the properties to measure on a model's images: only strokes have thickness and length."""
    return tuple(p for p in PROPERTIES if card.input.preprocess == "mnist" or p not in STROKES)


def measure_poses(
    model: Model,
    card: ModelCard,
    data: DatasetPart,
    *,
    limit: int = IMAGES,
    watch: Callable[[str], None] = lambda label: None,
) -> dict[str, PoseStatistics]:
    """Measure every class of a model.

    Parameters
    ----------
    model, card
        An exported model.
    data
        Its training images.
    limit
        Images of each class at most.
    watch
        Called with the name of each class before it is measured.

    Returns
    -------
    dict
        By the name of the class; the columns are `properties_of(card)`.

    Raises
    ------
    MeaningError
        If a class has too few images that the model classifies rightly, or the model looks for several objects.
    """
    if card.objects > 1:
        raise MeaningError(
            f"{card.name}: looks for {card.objects} objects; their properties cannot be told apart"
        )
    columns = [PROPERTIES.index(name) for name in properties_of(card)]
    measured = {}
    for label, name in enumerate(card.classes):
        watch(name)
        generator = np.random.default_rng(label)  # not the global one: each class is measured independently
        rows = generator.permutation(np.flatnonzero(data.labels == label))[:limit]
        measured[name] = _measure_class(
            model, data.images[rows].astype(np.float32) / 255, label, columns, generator
        )
    return measured


def _measure_class(
    model: Model, images: np.ndarray, label: int, columns: list[int], generator: np.random.Generator
) -> PoseStatistics:
    still = _poses_and_properties(model, images, label)
    moved = _poses_and_properties(model, shifted(images, generator), label)
    if min(len(still[0]), len(moved[0])) < FEWEST:
        raise MeaningError(
            f"class {label}: fewer than {FEWEST} images are classified rightly; more are needed"
        )
    moving = [PROPERTIES[column] in SHIFTS for column in columns]
    chosen = [moved if moves else still for moves in moving]
    fits = [
        _relate(poses[:, label], values[:, column])
        for (poses, values), column in zip(chosen, columns, strict=True)
    ]
    whole, alone, sign, partial = (np.stack(each, axis=-1) for each in zip(*fits, strict=True))
    deviation = np.array([values[:, c].std() for (_, values), c in zip(chosen, columns, strict=True)])
    changes = _redraw(model, still[0][-REDRAWN:], label, columns)  # (D,N,P)
    effect = np.nanmean(changes, axis=1)
    agreement = np.mean(np.sign(changes) == np.sign(effect)[:, None], axis=1)
    return PoseStatistics(whole, alone, sign, partial, effect / deviation, agreement)


def shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Move images (N,C,H,W) by up to `MOVED` whole pixels on each axis, and fill with zeros."""
    framed = np.pad(images, ((0, 0), (0, 0), (MOVED, MOVED), (MOVED, MOVED)))
    height, width = images.shape[2:]
    corners = generator.integers(0, 2 * MOVED + 1, (len(images), 2))
    return np.stack([f[:, y : y + height, x : x + width] for f, (y, x) in zip(framed, corners, strict=True)])


def _poses_and_properties(model: Model, images: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Return poses (N,J,D) and properties (N,P) of the images that the model classifies rightly."""
    lengths, poses = model.encode(images)
    right = lengths.argmax(axis=1) == label
    values = measure(images[right].mean(axis=1))  # channels together
    finite = np.isfinite(values).all(axis=1)
    return poses[right][finite], values[finite]


def _relate(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return `whole`, `alone`, `sign` and `partial` of poses x (N,D) and a property y (N,)."""
    fitted = np.arange(len(x)) < len(x) * 2 // 3
    dims = x.shape[1]
    alone, sign, partial = np.zeros(dims), np.zeros(dims), np.zeros(dims)
    for dim in range(dims):
        own, others = x[:, [dim]], np.delete(x, dim, axis=1)
        alone[dim] = _explained(_residual(own, y, fitted), y, fitted)
        sign[dim] = np.sign(_correlation(own[fitted, 0], y[fitted]))
        partial[dim] = _correlation(_residual(others, own[:, 0], fitted), _residual(others, y, fitted))
    return _explained(_residual(x, y, fitted), y, fitted), alone, sign, partial


def _residual(x: np.ndarray, y: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Return the residuals of a linear regression of y (N,) on x (N,D), fitted to some rows, for the other rows."""
    design = np.column_stack([x, np.ones(len(x))])
    coefficients = np.linalg.lstsq(design[fitted], y[fitted])[0]
    rest: np.ndarray = y[~fitted] - design[~fitted] @ coefficients
    return rest


def _explained(residual: np.ndarray, y: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Return R squared on the rows that were not fitted."""
    return np.asarray(1 - np.square(residual).mean() / max(float(y[~fitted].var()), TINY))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of (N,) and (N,); 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), TINY))


def _redraw(model: Model, poses: np.ndarray, label: int, columns: list[int]) -> np.ndarray:
    """Return how moving each dimension from one end to the other changes the drawings of poses (N,J,D): (D,N,P)."""
    dims = poses.shape[2]
    ends = np.broadcast_to(poses, (2, dims, *poses.shape)).copy()  # (2,D,N,J,D)
    for dim in range(dims):
        ends[:, dim, :, label, dim] += np.array([[-REACH], [REACH]], dtype=ends.dtype)
    drawn = model.decode(ends.reshape(-1, *poses.shape[1:]), np.full(2 * dims * len(poses), label))
    values = measure(drawn.mean(axis=1))[:, columns].reshape(2, dims, len(poses), len(columns))
    change: np.ndarray = values[1] - values[0]
    return change
