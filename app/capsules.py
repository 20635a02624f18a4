"""What can be asked of capsules, in NumPy alone. Legend: J class capsules, D pose dimensions."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rank(lengths: Floats, count: int) -> list[int]:
    """The indices of the `count` longest capsules of lengths (J,), longest first; of equals the lower index first."""
    if count == 1:
        return [int(lengths.argmax())]
    return [int(index) for index in np.argsort(-lengths, kind="stable")[:count]]


def perturb(pose: Floats, changes: Iterable[tuple[int, float]]) -> Floats:
    """A copy of pose (D,) with each `(dim, delta)` added; the pose stays as it is."""
    moved = pose.copy()
    for dim, delta in changes:
        moved[dim] += np.float32(delta)
    return moved


def place(pose: Floats, label: int, num_classes: int) -> Floats:
    """Poses (J,D) that are zero but for `pose` (D,) in the row `label`, as the decoder takes them."""
    poses = np.zeros((num_classes, len(pose)), np.float32)
    poses[label] = pose
    return poses
