"""Results of the service, before a route writes them as JSON or PNG."""

from dataclasses import dataclass, field

import numpy as np

from capsnet.card import PoseDirection
from capsnet.guard import ReconstructionCheck
from capsnet.preprocessing.digits import ObjectCount
from capsnet.reading import Digit

from .models import LoadedModel
from .types import Capsules, Floats


@dataclass(frozen=True)
class Classification:
    """The result for one image: all capsules, the indices of the longest, and the check where it was asked for.

    `counted` has the number of separate objects, 0 where the image is a data set's row. `input` is what the network
    saw, and `drawings` what the capsules of the ranking draw, as PNG files, where these were asked for.
    """

    model: LoadedModel
    capsules: Capsules
    ranking: list[int]
    check: ReconstructionCheck | None
    counted: ObjectCount = field(default_factory=ObjectCount)
    input: bytes | None = None
    drawings: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Reading:
    """The writing in an image: lines of digits, how many objects there are, and drawings as PNG files.

    `drawings` holds for each digit what the network saw and what its capsule draws; it is empty where none were
    asked for.
    """

    model: LoadedModel
    lines: list[list[Digit]]
    objects_found: int
    drawings: list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Reconstruction:
    """An image drawn again from one of its capsules, as it is and perturbed; the images are PNG files."""

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
    """A capsule's pose moved one dimension or direction at a time; the images are PNG files.

    `frames` has a row for each dimension, then for each direction, which has its own amounts.
    """

    model: LoadedModel
    label: int
    length: np.float32
    pose: Floats
    dims: list[int]
    deltas: Floats
    directions: list[tuple[PoseDirection, Floats]]
    input: bytes
    reconstruction: bytes
    frames: list[list[bytes]]


@dataclass(frozen=True)
class TransformStep:
    """An image transformed by an amount: the capsule that the network read, and the pose that was predicted."""

    amount: float
    length: np.float32
    pose: Floats
    foretold: Floats | None
    input: bytes
    reconstruction: bytes
    foretold_reconstruction: bytes | None


@dataclass(frozen=True)
class Transformation:
    """An image transformed step by step, and one of its capsules in each step; the images are PNG files.

    `direction` is what the card names for the capsule's class, and `explained` how much of the way it foretells (R
    squared); both are None where the card names none. `linearity` is R squared of the poses along a line of their own,
    or None where they stay.
    """

    model: LoadedModel
    label: int
    length: np.float32
    pose: Floats
    property: str
    direction: PoseDirection | None
    explained: float | None
    linearity: float | None
    steps: list[TransformStep]
