"""Define what goes into the queues of a model, and what comes out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsnet.guard import ReconstructionCheck

Floats = NDArray[np.float32]


class Capsules(NamedTuple):
    """The capsules of one image: lengths (J,) and poses (J,D)."""

    lengths: Floats
    poses: Floats


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
