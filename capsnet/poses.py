"""Rank, perturb and sweep capsules. Legend: J class capsules, D pose dimensions, N poses."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rank(lengths: Floats, count: int) -> list[int]:
    """Return the indices of the `count` longest capsules of lengths (J,), longest first; equal lengths by index."""
    if count == 1:
        return [int(lengths.argmax())]
    return [int(index) for index in np.argsort(-lengths, kind="stable")[:count]]


def other_winners(lengths: Floats, label: int, objects: int) -> list[int]:
    """Return the `objects - 1` longest capsules of lengths (J,) other than `label`."""
    return [index for index in rank(lengths, objects) if index != label][: objects - 1]


def perturb(pose: Floats, changes: Iterable[tuple[int, float]]) -> Floats:
    """Return a copy of pose (D,) with each `(dim, delta)` added."""
    moved = pose.copy()
    for dim, delta in changes:
        moved[dim] += np.float32(delta)
    return moved


def linspace_exact(lowest: float, highest: float, steps: int) -> Floats:
    """Return (steps,) numbers from `lowest` to `highest`, both exact, as is the middle between opposites."""
    upward = np.arange(steps) / (steps - 1)
    deltas: Floats = (lowest * upward[::-1] + highest * upward).astype(np.float32)
    return deltas


def sweep(pose: Floats, dims: Sequence[int], deltas: Floats) -> Floats:
    """Return poses (N,D) with one dimension of pose (D,) moved at a time, by each delta in turn; N = dims × deltas."""
    moved = np.tile(pose, (len(dims), len(deltas), 1))  # (D,) -> (dims,deltas,D)
    for row, dim in enumerate(dims):
        moved[row, :, dim] += deltas
    return moved.reshape(-1, len(pose))  # (dims,deltas,D) -> (N,D)


def scatter_poses(poses: Floats, labels: Sequence[int], num_classes: int) -> Floats:
    """Return poses (N,D) in the rows `labels` of zeros (N,J,D), as the decoder takes them."""
    placed = np.zeros((len(poses), num_classes, poses.shape[1]), np.float32)
    placed[np.arange(len(poses)), labels] = poses
    return placed
