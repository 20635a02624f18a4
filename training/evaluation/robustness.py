"""Measure how well a network that was trained on shifted digits alone classifies them turned, sheared and scaled.

Sabour, Frosst, Hinton 2017 (https://arxiv.org/abs/1710.09829, section 5.2) compare two networks by one number each, on
a test set with every kind of deformation at once. The same digits under one kind at a time, in growing strength, show
where a network fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from capsnet.onnx_model import Model
from training.data.composition import Affine, CompositionSpec
from training.data.datasets import DERIVED, DatasetPart, fixed_scenes
from training.evaluation.evaluate import encode_all


@dataclass(frozen=True)
class Deformation:
    """One kind of deformation: its label, how far the test set goes either way, and how far this does."""

    label: str
    tested: float
    strengths: tuple[float, ...]


# By the names of `Affine`, where the scale changes both axes together; and shifts drawn evenly up to so many pixels,
# because those of the test set are larger than those of training.
AXES = {
    "shift": Deformation("shift up to, pixels", 10, (0, 2, 4, 6, 7, 8, 9, 10)),
    "rotation": Deformation("rotation, °", 20, (-60, -50, -40, -30, -20, -10, 0, 10, 20, 30, 40, 50, 60)),
    "shear": Deformation("shear", 0.2, (-0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
    "scale": Deformation("change of size", 0.2, (-0.5, -0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5)),
}
UNCHANGED = {"rotation": 0.0, "shear": 0.0, "scale": 0.0}
# One of so many test images is deformed by each strength; a share of 2,000 is known to a percentage point.
EVERY = 5


@dataclass(frozen=True)
class RobustnessCurve:
    """The accuracy of a network on its test sets and under deformations.

    Attributes
    ----------
    images
        Images in each test set.
    accuracy
        Share that is classified rightly, by the name of the test set: first that of the data set trained on.
    deformed_images
        Images for each strength of each kind of deformation.
    deformed
        Share of those that is classified rightly: by kind, (strength, share) in ascending order.
    """

    images: int
    accuracy: dict[str, float]
    deformed_images: int
    deformed: dict[str, list[tuple[float, float]]]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "RobustnessCurve":
        """Read the values of `dataclasses.asdict` from a JSON file, among other values."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})


def further_tests(dataset: str) -> tuple[str, ...]:
    """Return the data sets on which a network trained on this one is tested beside its own."""
    return tuple(name for name, derived in DERIVED.items() if derived.train_on == dataset)


def measure_robustness(
    model: Model, source: DatasetPart, trained_on: str, watch: Callable[[str], None]
) -> RobustnessCurve:
    """Test a network on deformed digits.

    Parameters
    ----------
    model
        The network, trained on the scenes of `trained_on`.
    source
        The test images that scenes are made of.
    trained_on
        A name in `training.data.datasets.DERIVED`, for which there are other test sets.
    watch
        Called with the name of each step.
    """
    scene, accuracy = DERIVED[trained_on].scene, {}
    for name in (trained_on, *further_tests(trained_on)):
        watch(name)
        accuracy[name] = share_right(model, fixed_scenes(source, DERIVED[name].scene))
    few = DatasetPart(source.images[::EVERY], source.labels[::EVERY])
    deformed = {}
    for kind, axis in AXES.items():
        watch(kind)
        deformed[kind] = [
            (strength, share_right(model, fixed_scenes(few, deformed_by(scene, kind, strength))))
            for strength in axis.strengths
        ]
    return RobustnessCurve(len(source.labels), accuracy, len(few.labels), deformed)


def deformed_by(scene: CompositionSpec, kind: str, strength: float) -> CompositionSpec:
    """Return a scene whose objects are all deformed by exactly this strength, or shifted by up to it."""
    if kind == "shift":
        return replace(scene, shift=int(strength), affine=Affine(**UNCHANGED, exact=True))
    return replace(scene, affine=Affine(**UNCHANGED | {kind: strength}, exact=True))


def share_right(model: Model, data: DatasetPart) -> float:
    """Return the share of images whose longest capsule is that of their class."""
    lengths, _ = encode_all(model, data)
    return float(np.mean(lengths.argmax(axis=1) == data.labels))
