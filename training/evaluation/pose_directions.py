"""Measure for each class the direction in which the pose moves as an image turns, slants, widens or shifts.

Training images are transformed in `STEPS` steps, and the exported encoder reads the pose of each. The pose then moves
by `amount · d`. Two models of d are compared on held-out images: one *vector* for the class, and a *map* of the pose,
`vector + matrix · pose`. The map is taken only where it holds and the vector does not. A *curve* for the class,
`amount · vector + amount² · bend`, is scored beside them; it is not used. A direction holds if, on held-out images,

- the poses of each image lie near a line (`LEAST_LINEARITY`, R squared), and the lines are near to parallel
  (`LEAST_AGREEMENT`, cosine with d);
- d predicts where the pose moves (`LEAST_FORETOLD`, R squared over the distance moved);
- the decoder draws the change: its amount, measured on drawings, follows the requested amount (`SLOPES`,
  `LEAST_DRAWN`);
- the other properties and the length stay (`MOST_LEAK`, `LEAST_LENGTH`).

Legend: N images, S steps, D pose dimensions, P properties of a drawing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from capsnet.card import ModelCard, PoseDirection
from capsnet.config import UserError
from capsnet.directions import linearity
from capsnet.onnx_model import Model
from capsnet.transforms import PROPERTIES, matrix, transform, warp
from training.data.datasets import DatasetPart
from training.evaluation.morphology import measure

LEAST_LINEARITY, LEAST_AGREEMENT, LEAST_FORETOLD = 0.8, 0.7, 0.5
SLOPES, LEAST_DRAWN, MOST_LEAK, LEAST_LENGTH = (0.6, 1.4), 0.8, 0.35, 0.9
STEPS = 9
# Images of a class: the most that are read, of which the last third scores, the fewest, and those that are drawn.
IMAGES, FEWEST, DRAWN = 120, 45, 12
# How strongly the map is regularised towards the vector, in variances of a pose dimension.
RIDGE = 3e-3
# Properties that the registration of two drawings tells apart, in this order; size is width and height together.
REGISTERED = ("rotation", "slant", "width", "height", "shift_x", "shift_y")
KINDS = (*REGISTERED, "weight")
# A leak is a share of the range in which the other property itself is measured.
RANGES = np.array([PROPERTIES[name].reach for name in KINDS])
# Units of the registration, by which its steps are bounded: degrees, per cent, pixels.
UNITS = np.array([25.0, 25.0, 24.0, 16.0, 2.0, 2.0])
ROUNDS, BLUR, PROBE, DAMPING = 4, 0.7, 0.02, 1e-3
TINY = 1e-12


class DirectionError(UserError):
    """A model's directions cannot be measured; the message says why."""


@dataclass(frozen=True)
class MeasuredDirection:
    """One property of one class: its direction, and what both models score on held-out images.

    Attributes
    ----------
    direction
        The direction for the card, if it `holds`.
    by_vector, by_curve, by_map
        R squared over the distance that held-out poses move, of the three models.
    failed
        The names of the scores that miss their thresholds.
    """

    direction: PoseDirection
    by_vector: float
    by_curve: float
    by_map: float
    failed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Tell whether every score reaches its threshold."""
        return not self.failed


def properties_of(card: ModelCard) -> tuple[str, ...]:
    """Return the properties to measure on a model: only strokes have a weight."""
    return tuple(name for name in PROPERTIES if card.input.preprocess == "mnist" or name != "weight")


def measure_directions(
    model: Model,
    card: ModelCard,
    data: DatasetPart,
    *,
    names: Collection[str] = PROPERTIES,
    limit: int = IMAGES,
    watch: Callable[[str], None] = lambda label: None,
) -> dict[str, list[MeasuredDirection]]:
    """Measure every property of every class of a model, by the name of the class.

    Parameters
    ----------
    model, card
        An exported model.
    data
        Its training images; of a composed data set, scenes. Of several objects one is transformed, and the others stay.
    names
        The properties to measure, of those that the model's images have.
    limit
        Images of each class at most.
    watch
        Called with the name of each class before it is measured.

    Raises
    ------
    DirectionError
        If a class has too few images that the model classifies rightly.
    """
    found = {}
    for label, name in enumerate(card.classes):
        watch(name)
        generator = np.random.default_rng(label)
        scenes = _scenes(data, label, limit, generator)
        chosen = [each for each in properties_of(card) if each in names]
        found[name] = [_measure(model, card, scenes, label, each) for each in chosen]
    return found


@dataclass(frozen=True)
class _Scenes:
    """Images of a class: the object (N,C,H,W) that is transformed, and the light (N,C,H,W) that stays beside it."""

    objects: np.ndarray
    others: np.ndarray | None

    def changed(self, name: str, amount: float) -> np.ndarray:
        """Return the images with the objects transformed, (N,C,H,W)."""
        moved = transform(self.objects, name, amount)
        return moved if self.others is None else np.clip(moved + self.others, 0, 1)


def _scenes(data: DatasetPart, label: int, limit: int, generator: np.random.Generator) -> _Scenes:
    if data.parts is None or data.labels.ndim == 1:
        rows = generator.permutation(np.flatnonzero(data.labels == label))[:limit]
        return _Scenes(data.images[rows].astype(np.float32) / 255, None)
    rows, positions = np.nonzero(data.labels == label)  # labels (N,K)
    chosen = generator.permutation(len(rows))[:limit]
    rows, positions = rows[chosen], positions[chosen]
    parts = data.parts[rows].astype(np.float32) / 255  # (N,K,C,H,W)
    objects = parts[np.arange(len(rows)), positions]
    return _Scenes(objects, np.clip(parts.sum(axis=1) - objects, 0, 1))


def _measure(model: Model, card: ModelCard, scenes: _Scenes, label: int, name: str) -> MeasuredDirection:
    reach = PROPERTIES[name].reach
    amounts = np.linspace(-reach, reach, STEPS)  # (S,)
    poses, right = _read(model, card, scenes, label, name, amounts)
    poses = poses[right]  # (N,S,D)
    if len(poses) < FEWEST:
        raise DirectionError(
            f"{card.name}: class {card.classes[label]!r} has {len(poses)} images that are classified rightly; "
            f"at least {FEWEST} are needed"
        )
    fitted = np.arange(len(poses)) < len(poses) * 2 // 3
    given = poses[:, STEPS // 2]  # (N,D)
    moved = poses - given[:, None]  # (N,S,D)
    slopes = np.einsum("nsd,s->nd", moved, amounts) / np.square(amounts).sum()  # (N,D), each image's own
    vector, offset, turn = _fit(given[fitted], slopes[fitted])
    alone, mapped = np.broadcast_to(vector, slopes.shape), offset + given @ turn.T  # (N,D)
    by_vector, by_map = (_foretold(moved[~fitted], amounts, each[~fitted]) for each in (alone, mapped))
    # The amounts are symmetric, so the bend can be fitted independently of the slope.
    squares = np.square(amounts)
    bend = np.einsum("nsd,s->nd", moved[fitted], squares).mean(axis=0) / np.square(squares).sum()  # (D,)
    by_curve = _foretold(moved[~fitted] - squares[:, None] * bend, amounts, alone[~fitted], moved[~fitted])
    linearity = round(float(np.median(_linearity(poses[~fitted], amounts))), 3)

    def scored(
        directions: np.ndarray, foretold: float, start: np.ndarray, matrix: np.ndarray | None
    ) -> PoseDirection:
        held = directions[~fitted]
        drawn = _drawn(model, card, given[~fitted][:DRAWN], held[:DRAWN], label, name, amounts)
        return PoseDirection(
            property=name,
            unit=PROPERTIES[name].unit,
            minimum=-reach,
            maximum=reach,
            vector=_rounded(start),
            matrix=None if matrix is None else tuple(map(_rounded, matrix)),
            linearity=linearity,
            agreement=round(float(np.median(_cosine(slopes[~fitted], held))), 3),
            foretold=round(foretold, 3),
            drawn_slope=drawn["slope"],
            drawn_r2=drawn["r2"],
            leak=drawn["leak"],
            length=_length(given[~fitted], held, reach),
        )

    direction = scored(alone, by_vector, vector, None)
    if _failed(direction) and linearity >= LEAST_LINEARITY and by_map >= LEAST_FORETOLD:
        other = scored(mapped, by_map, offset, turn)
        direction = direction if _failed(other) else other
    return MeasuredDirection(direction, by_vector, by_curve, by_map, _failed(direction))


def _failed(direction: PoseDirection) -> tuple[str, ...]:
    """Return the names of the scores that miss their thresholds."""
    checks = {
        "linearity": direction.linearity >= LEAST_LINEARITY,
        "agreement": direction.agreement >= LEAST_AGREEMENT,
        "foretold": direction.foretold >= LEAST_FORETOLD,
        "drawn slope": SLOPES[0] <= direction.drawn_slope <= SLOPES[1],
        "drawn R²": direction.drawn_r2 >= LEAST_DRAWN,
        "leak": direction.leak <= MOST_LEAK,
        "length": direction.length >= LEAST_LENGTH,
    }
    return tuple(name for name, ok in checks.items() if not ok)


def _read(
    model: Model, card: ModelCard, scenes: _Scenes, label: int, name: str, amounts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return poses (N,S,D) of a class along the steps, and whether (N,) each unchanged image was classified rightly."""
    poses = []
    right = np.ones(len(scenes.objects), dtype=bool)
    for amount in amounts:
        lengths, capsules = model.encode(scenes.changed(name, float(amount)).astype(np.float32))
        poses.append(capsules[:, label])
        if amount == 0:
            right = (np.argsort(-lengths, axis=1)[:, : card.objects] == label).any(axis=1)
    return np.stack(poses, axis=1), right


def _fit(given: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean (D,) of slopes (N,D), and offset (D,) and matrix (D,D) of a ridge regression on poses (N,D)."""
    mean, vector = given.mean(axis=0), slopes.mean(axis=0)
    centred = given - mean
    gram = centred.T @ centred + RIDGE * len(given) * np.eye(given.shape[1])
    turn = np.linalg.solve(gram, centred.T @ (slopes - vector)).T  # (D,D)
    return vector, vector - turn @ mean, turn


def _foretold(
    moved: np.ndarray, amounts: np.ndarray, directions: np.ndarray, whole: np.ndarray | None = None
) -> float:
    """Return R squared of movements (N,S,D) predicted by amounts (S,) times directions (N,D); no movement scores 0.

    `whole` (N,S,D) are the movements from which another model has taken its part already.
    """
    rest = moved - amounts[:, None] * directions[:, None]
    return float(1 - np.square(rest).sum() / np.square(moved if whole is None else whole).sum())


def _linearity(poses: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return R squared (N,) of each image's poses (N,S,D) along its own line."""
    return np.array([linearity(each, amounts) for each in poses])


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    score: np.ndarray = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return score


def _length(given: np.ndarray, directions: np.ndarray, reach: float) -> float:
    """Return the mean length at the worse end of the direction, as a share of the original length; at most 1."""
    ends = [float(np.linalg.norm(given + side * reach * directions, axis=1).mean()) for side in (-1, 1)]
    whole = float(np.linalg.norm(given, axis=1).mean())
    return round(1 - max(abs(end - whole) for end in ends) / whole, 3)


def _drawn(
    model: Model,
    card: ModelCard,
    given: np.ndarray,
    directions: np.ndarray,
    label: int,
    name: str,
    amounts: np.ndarray,
) -> dict[str, float]:
    """Measure the drawings of poses (N,D) moved along directions (N,D): slope, R squared and leak."""
    moved = given[:, None] + amounts[:, None] * directions[:, None]  # (N,S,D)
    whole = np.zeros((moved.shape[0] * STEPS, len(card.classes), moved.shape[2]), np.float32)
    whole[:, label] = moved.reshape(-1, moved.shape[2])
    drawn = model.decode(whole, np.full(len(whole), label))
    drawn = drawn.reshape(-1, STEPS, *drawn.shape[1:])  # (N,S,C,H,W)
    # The same measurement on truly transformed drawings gives the result of a perfect direction.
    middle = drawn[:, STEPS // 2]
    true = np.stack([transform(middle, name, float(amount)) for amount in amounts], axis=1)
    strokes = card.input.preprocess == "mnist"
    measured, expected = (
        _changes(each.mean(axis=2), strokes) for each in (drawn, true)
    )  # (N,S,P), channels together
    own = [KINDS.index(each) for each in (("width", "height") if name == "size" else (name,))]
    drawn_own, true_own = measured[:, :, own].mean(axis=2), expected[:, :, own].mean(axis=2)
    slope = float((drawn_own * true_own).sum() / max(np.square(true_own).sum(), TINY))
    rest = np.square(drawn_own - slope * true_own).sum()
    leak = (measured - slope * expected)[:, [0, -1]] / RANGES
    shares = np.sqrt(np.square(leak).mean(axis=(0, 1)))  # (P,)
    return {
        "slope": round(slope, 3),
        "r2": round(float(1 - rest / max(np.square(drawn_own).sum(), TINY)), 3),
        "leak": round(max(float(share) for index, share in enumerate(shares) if index not in own), 3),
    }


def _changes(drawn: np.ndarray, strokes: bool) -> np.ndarray:
    """Return how drawings (N,S,H,W) differ from the middle one of their row, in the units of `KINDS`: (N,S,P)."""
    thickness = np.zeros(drawn.shape[:2])
    if strokes:
        thickness = measure(drawn.reshape(-1, *drawn.shape[2:]))[:, 0].reshape(drawn.shape[:2])
    change = thickness - thickness[:, [STEPS // 2]]
    return np.concatenate([_registered(drawn), np.nan_to_num(change)[:, :, None]], axis=2)


def _registered(drawn: np.ndarray) -> np.ndarray:
    """Return how each drawing (N,S,H,W) is transformed from the middle of its row: (N,S,P), in units of the amounts.

    All of `REGISTERED` are found together by Gauss-Newton steps, from the middle outwards.
    """
    count, steps = drawn.shape[:2]
    middle = steps // 2
    smooth = gaussian_filter(drawn.astype(np.float64), (0, 0, BLUR, BLUR))
    start = smooth[:, [middle]].astype(np.float32)  # (N,1,H,W)
    found = np.zeros((count, steps, len(REGISTERED)))
    for outwards in (range(middle + 1, steps), range(middle - 1, -1, -1)):
        guess = np.zeros((count, len(REGISTERED)))
        for step in outwards:
            guess = _register(start, smooth[:, step], guess)
            found[:, step] = guess
    scaled: np.ndarray = found * UNITS
    return scaled


def _register(start: np.ndarray, target: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return transformations (N,P), in `UNITS`, that take images (N,1,H,W) to images (N,H,W)."""
    count, size = guess.shape
    for _ in range(ROUNDS):
        here = _composed(start, guess)
        columns = [
            (_composed(start, guess + PROBE * np.eye(size)[each]) - here) / PROBE for each in range(size)
        ]
        jacobian = np.stack(columns, axis=2)  # (N,H·W,P)
        gram = jacobian.transpose(0, 2, 1) @ jacobian
        gram += DAMPING * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(size)
        wanted = jacobian.transpose(0, 2, 1) @ (target.reshape(count, -1) - here)[:, :, None]
        guess = np.clip(guess + np.clip(np.linalg.solve(gram, wanted)[:, :, 0], -0.5, 0.5), -2, 2)
    return guess


def _composed(images: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Scale, slant, turn and shift images (N,1,H,W), each by its own shares (N,P) of `UNITS`: (N,H·W)."""
    moves = [_composed_matrix(row) for row in shares]
    return warp(images, np.stack(moves)).reshape(len(images), -1)


def _composed_matrix(shares: np.ndarray) -> np.ndarray:
    amounts = dict(zip(REGISTERED, (shares * UNITS).tolist(), strict=True))
    linear = np.eye(2)
    for name in ("width", "height", "slant", "rotation"):
        linear = matrix(name, amounts[name])[:, :2] @ linear
    return np.column_stack([linear, [amounts["shift_x"], amounts["shift_y"]]])


def _rounded(row: np.ndarray) -> tuple[float, ...]:
    """Round each number to four significant digits."""
    return tuple(float(f"{value:.4g}") for value in row)
