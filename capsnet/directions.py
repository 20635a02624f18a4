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
    """A direction that the card does not name, or an amount out of bounds.

    Attributes
    ----------
    value, allowed
        What was asked for, and what may be.
    is_amount
        Whether the amount is wrong, and not the name.
    """

    def __init__(self, value: str, allowed: str, *, is_amount: bool = False) -> None:
        super().__init__(f"{value}: {allowed}")
        self.value, self.allowed, self.is_amount = value, allowed, is_amount


def find(card: ModelCard, label: int, name: str) -> PoseDirection:
    """The direction of a property for the class `label`; raises DirectionError where the card names none."""
    known = {each.property: each for each in card.pose_directions.get(card.classes[label], ())}
    if name not in known:
        there_are = f"should be one of {', '.join(known)}" if known else "the model's card names none"
        raise DirectionError(repr(name[:80]), f"{there_are}, for class {card.classes[label]!r}")
    return known[name]


def rate(direction: PoseDirection, pose: Floats) -> Floats:
    """How pose (D,) changes for one unit of the property, (D,)."""
    change = np.array(direction.vector, np.float32)
    if direction.matrix is not None:
        change = change + np.array(direction.matrix, np.float32) @ pose
    return change


def steer(card: ModelCard, label: int, pose: Floats, changes: Iterable[tuple[str, float]]) -> Floats:
    """A copy of pose (D,) of the class `label`, moved by each `(property, amount)`.

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
    """Poses (N,D) in which pose (D,) moves along one direction at a time, and the amounts (S,) of each direction.

    Each direction is moved through all that was measured; N is directions times steps. Raises DirectionError.
    """
    found = [find(card, label, name) for name in names]
    amounts = [linspace_exact(each.minimum, each.maximum, steps) for each in found]
    rows = [
        pose + amount[:, None] * rate(each, pose) for each, amount in zip(found, amounts, strict=True)
    ]  # (S,D) each
    return np.concatenate([np.zeros((0, len(pose)), np.float32), *rows]).astype(np.float32), amounts


def explained(poses: Floats, start: Floats, foretold: Floats) -> float | None:
    """R squared of foretold poses (S,D) over the distance of poses (S,D) from `start` (D,); None where none moved."""
    total = float(np.square(poses - start).sum())
    return None if total == 0 else 1 - float(np.square(poses - foretold).sum()) / total


def linearity(vectors: np.ndarray, amounts: np.ndarray) -> float | None:
    """R squared of vectors (S,D) along a straight line of their own in amounts (S,); None where none moved.

    It asks for no direction, so poses of capsules and features of other networks have it alike.
    """
    centred, steps = vectors - vectors.mean(axis=0), amounts - amounts.mean()
    total = float(np.square(centred).sum())
    if total == 0:
        return None
    slope = steps @ centred / np.square(steps).sum()  # (D,)
    return 1 - float(np.square(centred - steps[:, None] * slope).sum()) / total
