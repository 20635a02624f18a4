"""A dimension is named where the images and the decoder agree about it, and only there."""

import dataclasses

import numpy as np
import pytest

from capsnet.card import Graph, Guard, ModelCard, Variant
from capsnet.config import InputSpec, ModelConfig
from training.data.datasets import DatasetPart
from training.evaluation.morphology import PROPERTIES, measure
from training.evaluation.pose_meaning import MeaningError, measure_poses, properties_of

NONE = Graph(file="none", sha256="")
GUARD = Guard(distance=(1, 1), ink=(1, 1), p95=(1, 1), p99=(1, 1))
CARD = ModelCard(
    name="bars",
    version="1",
    config=ModelConfig(architecture="none", num_classes=2, pose_dim=4),
    classes=("long", "short"),
    input=InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
    decoder=NONE,
    variants={"fp32": Variant(encoder=NONE, guard=GUARD)},
    export_id="",
)


REACH = {0: 9, 1: 6}  # half the height of each class's strokes, in pixels


def bars(lean: np.ndarray, label: int) -> np.ndarray:
    """Strokes (B,1,28,28) of a class, each leaning by so many pixels a row."""
    y, x = np.mgrid[:28, :28]
    across = np.abs(x - 13.5 + lean[:, None, None] * (y - 13.5))
    strokes: np.ndarray = np.clip(2.5 - across, 0, 1) * (np.abs(y - 13.5) < REACH[label])
    return strokes[:, None].astype(np.float32)


class Bars:
    """A model that knows slants: dimension 0 has it, 1 its opposite; 2 has it, but draws nothing; 3 is noise."""

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slant = np.tan(measure(images[:, 0])[:, PROPERTIES.index("slant")])
        noise = np.random.default_rng(0).normal(size=(2, len(images))) * 0.05
        pose = np.stack([slant, -slant + noise[0], slant, noise[1]], axis=1).astype(np.float32)  # (B,D)
        short = images.max(axis=3).sum(axis=(1, 2)) < 15
        lengths = np.stack([~short, short], axis=1) * np.float32(0.9)
        return lengths, np.stack([pose, pose], axis=1)  # (B,J), (B,J,D)

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        own = poses[np.arange(len(label)), label]
        return bars((own[:, 0] - own[:, 1]) / 2, int(label[0]))


@pytest.fixture(scope="module")
def data() -> DatasetPart:
    lean = np.random.default_rng(1).uniform(-0.4, 0.4, 120)
    images = np.concatenate([bars(lean, 0), bars(lean, 1)])
    return DatasetPart((images * 255).astype(np.uint8), np.repeat([0, 1], 120))


def test_what_the_images_and_the_decoder_agree_about_is_named(data: DatasetPart) -> None:
    measured = measure_poses(Bars(), CARD, data)["long"]
    named = {meaning.dim: meaning for meaning in measured.label_dims(properties_of(CARD))}
    assert {dim: meaning.meaning for dim, meaning in named.items()} == {0: "slant", 1: "slant"}
    assert named[0].score > 0.9
    slant = PROPERTIES.index("slant")
    assert measured.alone[2, slant] > 0.9  # as clear as dimension 0, but the decoder knows nothing of it
    assert abs(measured.effect[2, slant]) < 0.01
    assert measured.sign[0, slant] == 1
    assert measured.sign[1, slant] == -1
    assert measured.alone[3, slant] < 0.2


def test_too_few_images_are_refused_by_class(data: DatasetPart) -> None:
    with pytest.raises(MeaningError, match="class 1: fewer than 60 images"):
        measure_poses(Bars(), CARD, DatasetPart(data.images[:150], data.labels[:150]))


def test_garments_have_no_strokes() -> None:
    clothes = dataclasses.replace(CARD, input=dataclasses.replace(CARD.input, preprocess="fashion"))
    assert set(properties_of(CARD)) - set(properties_of(clothes)) == {"thickness", "length"}
