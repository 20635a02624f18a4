"""What the service answers with, before a route writes it as JSON or PNG."""

from dataclasses import dataclass

import numpy as np

from .models import LoadedModel
from .types import Capsules, Floats, ReconstructionCheck


@dataclass(frozen=True)
class Classification:
    """The answer for a picture: all capsules, the indices of the longest, and the check where it was asked for."""

    model: LoadedModel
    capsules: Capsules
    ranking: list[int]
    check: ReconstructionCheck | None


@dataclass(frozen=True)
class Reconstruction:
    """A picture drawn again from one of its capsules, as it is and perturbed; the pictures are PNG files."""

    model: LoadedModel
    label: int
    length: np.float32
    pose: Floats
    perturbed_pose: Floats
    distance: float
    input: bytes
    reconstruction: bytes
    perturbed: bytes


@dataclass(frozen=True)
class Sweep:
    """A capsule's pose moved one dimension at a time; the pictures are PNG files, `frames` [dim][step] of them."""

    model: LoadedModel
    label: int
    length: np.float32
    pose: Floats
    dims: list[int]
    deltas: Floats
    input: bytes
    reconstruction: bytes
    frames: list[list[bytes]]
