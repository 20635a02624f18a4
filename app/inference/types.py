"""Define what goes into the queues of a model, and what comes out."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsnet.guard import ReconstructionCheck

Floats = NDArray[np.float32]


class Capsules(NamedTuple):
    """The capsules of one image: lengths (J,) and poses (J,D)."""

    lengths: Floats
    poses: Floats

    @property
    def are_finite(self) -> bool:
        """Whether the lengths are numbers. If not, the weights or the device are at fault: images are from 0 to 1."""
        return math.isfinite(self.lengths.max())  # max() returns a NaN if there is one


class ClassifyJob(NamedTuple):
    """An image (C,H,W) to classify, and whether to compare it with its reconstruction."""

    image: Floats
    verify: bool


class ClassifyOutput(NamedTuple):
    """The capsules of one image, and the guard's check where it was asked for."""

    capsules: Capsules
    check: ReconstructionCheck | None


class DecodeJob(NamedTuple):
    """A drawing to make: of the capsule `label` of poses (J,D)."""

    poses: Floats
    label: int
