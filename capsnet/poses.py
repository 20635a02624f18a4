"""Rank, perturb and sweep capsules, in NumPy alone. Legend: J class capsules, D pose dimensions, N poses."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rank(lengths: Floats, count: int) -> list[int]:
    """The indices of the `count` longest capsules of lengths (J,), longest first; equal lengths by index."""
    if count == 1:
        return [int(lengths.argmax())]
    return [int(index) for index in np.argsort(-lengths, kind="stable")[:count]]


def other_winners(lengths: Floats, label: int, objects: int) -> list[int]:
    """The longest capsules of lengths (J,) other than `label`, as many as make it `objects` with that one."""
    return [index for index in rank(lengths, objects) if index != label][: objects - 1]


def perturb(pose: Floats, changes: Iterable[tuple[int, float]]) -> Floats:
    """A copy of pose (D,) with each `(dim, delta)` added; the pose stays as it is."""
    moved = pose.copy()
    for dim, delta in changes:
        moved[dim] += np.float32(delta)
    return moved


def linspace_exact(lowest: float, highest: float, steps: int) -> Floats:
    """Deltas (steps,), evenly from `lowest` to `highest`; both ends and, between opposites, the middle are exact."""
    upward = np.arange(steps) / (steps - 1)
    deltas: Floats = (lowest * upward[::-1] + highest * upward).astype(np.float32)
    return deltas


def sweep(pose: Floats, dims: Sequence[int], deltas: Floats) -> Floats:
    """Poses (N,D) in which one dimension of pose (D,) at a time is moved, by each delta in turn; N = dims × deltas."""
    moved = np.tile(pose, (len(dims), len(deltas), 1))  # (D,) -> (dims,deltas,D)
    for row, dim in enumerate(dims):
        moved[row, :, dim] += deltas
    return moved.reshape(-1, len(pose))  # (dims,deltas,D) -> (N,D)


def scatter_poses(poses: Floats, labels: Sequence[int], num_classes: int) -> Floats:
    """Poses (N,J,D) that are zero but for `poses` (N,D) in the rows `labels`, as the decoder takes them."""
    placed = np.zeros((len(poses), num_classes, poses.shape[1]), np.float32)
    placed[np.arange(len(poses)), labels] = poses
    return placed
