"""Move a pose along the directions that a model's card names: by degrees, per cent and pixels.

Legend: D pose dimensions, N poses, S steps.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from capsnet.card import ModelCard, PoseDirection
from capsnet.poses import linspace_exact

Floats = NDArray[np.float32]


class DirectionError(ValueError):
    """A direction that the card does not name, or an amount outside its bounds.

    Attributes
    ----------
    value, allowed
        The wrong value, and which values are allowed.
    is_amount
        Whether the amount is wrong, and not the name.
    """

    def __init__(self, value: str, allowed: str, *, is_amount: bool = False) -> None:
        super().__init__(f"{value}: {allowed}")
        self.value, self.allowed, self.is_amount = value, allowed, is_amount


def find(card: ModelCard, label: int, name: str) -> PoseDirection:
    """Return the direction of a property for the class `label`; raises DirectionError where the card names none."""
    known = {each.property: each for each in card.pose_directions.get(card.classes[label], ())}
    if name not in known:
        there_are = f"should be one of {', '.join(known)}" if known else "the model's card names none"
        raise DirectionError(repr(name[:80]), f"{there_are}, for class {card.classes[label]!r}")
    return known[name]


def rate(direction: PoseDirection, pose: Floats) -> Floats:
    """Return the change (D,) of pose (D,) for one unit of the property."""
    change = np.array(direction.vector, np.float32)
    if direction.matrix is not None:
        change = change + np.array(direction.matrix, np.float32) @ pose
    return change


def steer(card: ModelCard, label: int, pose: Floats, changes: Iterable[tuple[str, float]]) -> Floats:
    """Return a copy of pose (D,) of the class `label`, moved by each `(property, amount)`.

    Raises
    ------
    DirectionError
        If the card names no such direction, or it was not measured as far as the amount.
    """
    moved = pose.copy()
    for name, amount in changes:
        direction = find(card, label, name)
        if not direction.minimum <= amount <= direction.maximum:
            raise DirectionError(
                f"{amount:g}",
                f"should be from {direction.minimum:g} to {direction.maximum:g} {direction.unit} for {name}",
                is_amount=True,
            )
        moved = moved + np.float32(amount) * rate(direction, pose)
    return moved


def sweep(
    card: ModelCard, label: int, pose: Floats, names: Sequence[str], steps: int
) -> tuple[Floats, list[Floats]]:
    """Return pose (D,) moved along one direction at a time, (N,D), and the amounts (S,) of each direction.

    Amounts go from the smallest to the largest that was measured; N is directions times steps. Raises DirectionError.
    """
    found = [find(card, label, name) for name in names]
    amounts = [linspace_exact(each.minimum, each.maximum, steps) for each in found]
    rows = [
        pose + amount[:, None] * rate(each, pose) for each, amount in zip(found, amounts, strict=True)
    ]  # (S,D) each
    return np.concatenate([np.zeros((0, len(pose)), np.float32), *rows]).astype(np.float32), amounts


def predict(
    card: ModelCard, label: int, pose: Floats, name: str, amounts: Floats
) -> tuple[PoseDirection | None, Floats | None]:
    """Return the direction of a property, and pose (D,) moved along it by amounts (S,), (S,D); None, None without."""
    try:
        direction = find(card, label, name)
    except DirectionError:
        return None, None
    return direction, (pose + amounts[:, None] * rate(direction, pose)).astype(np.float32)


def explained(poses: Floats, start: Floats, predicted: Floats) -> float | None:
    """Return R squared of predicted poses (S,D) for poses (S,D) that move from `start` (D,); None where none moves."""
    total = float(np.square(poses - start).sum())
    return None if total == 0 else 1 - float(np.square(poses - predicted).sum()) / total


def linearity(vectors: np.ndarray, amounts: np.ndarray) -> float | None:
    """Return R squared of a line fitted to vectors (S,D) over amounts (S,); None where no vector moves.

    It needs no direction, so it also compares poses of capsules with features of other networks.
    """
    centred, steps = vectors - vectors.mean(axis=0), amounts - amounts.mean()
    total = float(np.square(centred).sum())
    if total == 0:
        return None
    slope = steps @ centred / np.square(steps).sum()  # (D,)
    return 1 - float(np.square(centred - steps[:, None] * slope).sum()) / total
