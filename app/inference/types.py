"""What goes into the queues of a model, and what comes out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsnet.guard import ReconstructionCheck

Floats = NDArray[np.float32]


class Capsules(NamedTuple):
    """What the encoder sees in one image: lengths (J,) and poses (J,D)."""

    lengths: Floats
    poses: Floats


class ClassifyJob(NamedTuple):
    """An image (C,H,W) to classify, and whether its longest capsule is to be drawn again and compared."""

    image: Floats
    verify: bool


class ClassifyOutput(NamedTuple):
    """What the encoder sees in one image, and the guard's check where it was asked for."""

    capsules: Capsules
    check: ReconstructionCheck | None


class DecodeJob(NamedTuple):
    """What the decoder is to draw: the capsule `label` of poses (J,D)."""

    poses: Floats
    label: int
