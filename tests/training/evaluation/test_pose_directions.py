"""A direction is found where poses move along a line and the decoder draws it, and named only there."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from capsnet.card import CardError, Graph, Guard, ModelCard, PoseDirection, Variant
from capsnet.config import InputSpec, ModelConfig
from capsnet.onnx_model import open_variants
from capsnet.transforms import transform
from tests.conftest import ROOT
from training.data.datasets import DatasetPart
from training.evaluation import pose_directions
from training.evaluation.morphology import PROPERTIES, measure
from training.evaluation.pose_directions import DirectionError, MeasuredDirection, measure_directions

NONE = Graph(file="none", sha256="")
GUARD = Guard(distance=(1, 1), ink=(1, 1), p95=(1, 1), p99=(1, 1))
CARD = ModelCard(
    name="crosses",
    version="1",
    config=ModelConfig(architecture="none", num_classes=2, pose_dim=4),
    classes=("wide", "narrow"),
    input=InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
    decoder=NONE,
    variants={"fp32": Variant(encoder=NONE, guard=GUARD)},
    export_id="",
)
SHIFTS = [PROPERTIES.index("horizontal shift"), PROPERTIES.index("vertical shift")]


def corner(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """An angle of two strokes (B,1,28,28), moved by so many pixels."""
    image = np.zeros((1, 1, 28, 28), np.float32)
    image[..., 7:21, 9:12] = image[..., 18:21, 9:20] = 1
    pairs = zip(across.tolist(), down.tolist(), strict=True)
    return np.concatenate([transform(transform(image, "shift_x", x), "shift_y", y) for x, y in pairs])


class Shifts:
    """A model that knows where a thing is, in two dimensions mixed with each other, and nothing else.

    The pose is longer than any shift makes it, as that of a network. The decoder draws no shift down.
    """

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across, down = (measure(images[:, 0])[:, SHIFTS] / 20).T
        pose = np.stack([across + down, across - down, np.full(len(across), 0.8), 0 * across], axis=1)
        lengths = np.tile(np.array([[0.9, 0.1]], np.float32), (len(images), 1))
        return lengths, np.stack([pose, pose], axis=1).astype(np.float32)

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        own = poses[np.arange(len(label)), label]
        middle = np.full(len(own), measure(corner(np.zeros(1), np.zeros(1))[:, 0])[0, SHIFTS[0]])
        return corner(10 * (own[:, 0] + own[:, 1]) - middle, np.zeros(len(own)))


@pytest.fixture(scope="module")
def found() -> dict[str, MeasuredDirection]:
    """The directions of the first class; the second has no images that the model finds it in."""
    generator = np.random.default_rng(0)
    images = corner(*generator.uniform(-1, 1, (2, 48)))
    data = DatasetPart((images * 255).round().astype(np.uint8), np.zeros(48, np.int64))
    card = dataclasses.replace(CARD, input=dataclasses.replace(CARD.input, preprocess="resize"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_directions, "properties_of", lambda card: ("slant", "shift_x", "shift_y"))
        patch.setattr(pose_directions, "DRAWN", 4)
        rows = pose_directions._scenes(data, 0, 48, generator)
        return {
            name: pose_directions._measure(Shifts(), card, rows, 0, name)
            for name in ("slant", "shift_x", "shift_y")
        }


def test_a_direction_that_reads_and_draws_is_named(found: dict[str, MeasuredDirection]) -> None:
    shift = found["shift_x"]
    assert shift.holds
    assert np.array(shift.direction.vector) == pytest.approx([0.05, 0.05, 0, 0], abs=0.005)
    assert shift.direction.matrix is None
    assert shift.direction.drawn_slope == pytest.approx(1, abs=0.1)
    assert min(shift.direction.linearity, shift.direction.agreement, shift.by_vector) > 0.95
    assert shift.direction.leak < 0.2


def test_what_is_read_but_not_drawn_has_no_name(found: dict[str, MeasuredDirection]) -> None:
    shift = found["shift_y"]
    assert shift.by_vector > 0.95
    assert "drawn slope" in shift.failed
    assert abs(shift.direction.drawn_slope) < 0.1
    assert not found["slant"].holds


def test_a_leak_is_a_share_of_the_range_of_the_property_that_it_moves() -> None:
    """A decoder that slants as it is asked, and turns by up to six of the fifteen degrees of rotation."""

    class Turns(Shifts):
        def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
            start = corner(np.zeros(1), np.zeros(1))
            amounts = poses[np.arange(len(label)), label, 0].tolist()
            slanted = (transform(start, "slant", 25 * each) for each in amounts)
            return np.concatenate(
                [transform(image, "rotation", 6 * each) for image, each in zip(slanted, amounts, strict=True)]
            )

    given, steps = np.zeros((1, 4)), np.linspace(-25, 25, pose_directions.STEPS)
    along = np.array([[1 / 25, 0, 0, 0]])
    drawn = pose_directions._drawn(Turns(), CARD, given, along, 0, "slant", steps)
    assert drawn["leak"] == pytest.approx(6 / 15, rel=0.15)


def test_a_map_is_taken_where_one_vector_does_not_hold() -> None:
    generator = np.random.default_rng(1)
    given = generator.normal(size=(90, 3))
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0.0]])  # each pose moves at a right angle to itself
    slopes = given @ turn.T
    vector, offset, matrix = pose_directions._fit(given[:60], slopes[:60])
    amounts = np.linspace(-1, 1, 9)
    moved = amounts[:, None] * slopes[60:, None]
    assert pose_directions._foretold(moved, amounts, np.broadcast_to(vector, (30, 3))) < 0.2
    assert pose_directions._foretold(moved, amounts, offset + given[60:] @ matrix.T) > 0.99


def test_too_few_images_are_refused() -> None:
    images = corner(np.zeros(8), np.zeros(8))
    data = DatasetPart((images * 255).astype(np.uint8), np.zeros(8, np.int64))
    with pytest.raises(DirectionError, match="class 'wide' has 8 images"):
        measure_directions(Shifts(), CARD, data)


def test_the_registration_finds_each_property() -> None:
    start = corner(np.zeros(1), np.zeros(1))
    for column, (name, amount) in enumerate(
        [
            ("rotation", 12.0),
            ("slant", 10.0),
            ("width", 10.0),
            ("height", 8.0),
            ("shift_x", 1.2),
            ("shift_y", -1.0),
        ]
    ):
        steps = np.linspace(-amount, amount, 5)
        drawn = np.concatenate([transform(start, name, float(step)) for step in steps])[None, :, 0]
        seen = pose_directions._registered(drawn)[0]
        assert seen[-1, column] == pytest.approx(amount, rel=0.25)
        assert seen[0, column] == pytest.approx(-amount, rel=0.25)


def test_a_card_holds_directions_to_its_classes_and_dimensions() -> None:
    good = PoseDirection(
        property="slant", unit="degrees", minimum=-25.0, maximum=25.0, vector=(0.0,) * 4, linearity=1.0,
        agreement=1.0, foretold=1.0, drawn_slope=1.0, drawn_r2=1.0, leak=0.0, length=1.0,
    )  # fmt: skip
    card = dataclasses.replace(CARD, pose_directions={"wide": (good,)})
    assert ModelCard.from_json(card.to_json()) == card
    cases: list[tuple[dict[str, tuple[PoseDirection, ...]], str]] = [
        ({"round": (good,)}, "of no class"),
        ({"wide": (good, good)}, "twice"),
        ({"wide": (dataclasses.replace(good, vector=(0.0,)),)}, "4 dimensions"),
        ({"wide": (dataclasses.replace(good, matrix=((0.0,) * 4,)),)}, "4 dimensions"),
        ({"wide": (dataclasses.replace(good, minimum=1.0),)}, "either side of 0"),
    ]
    for wrong, words in cases:
        with pytest.raises(CardError, match=words):
            dataclasses.replace(CARD, pose_directions=wrong)


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in (ROOT / "artifacts").glob("*/card.json")),
    ids=lambda path: path.name,
)
def test_every_direction_that_a_shipped_card_names_passes_its_thresholds(folder: Path) -> None:
    card = ModelCard.from_json((folder / "card.json").read_text())
    for label, named in card.pose_directions.items():
        for direction in named:
            assert pose_directions._failed(direction) == (), (label, direction.property)


def test_named_directions_foretell_the_poses_of_test_images(digits: DatasetPart) -> None:
    card, variants = open_variants(ROOT / "artifacts" / "mnist")
    for label, named in list(card.pose_directions.items())[::3]:
        index = card.classes.index(label)
        rows = np.flatnonzero(digits.labels == index)[:12]
        scenes = pose_directions._Scenes(digits.images[rows].astype(np.float32) / 255, None)
        for direction in (each for each in named if each.property in ("slant", "shift_x")):
            amounts = np.linspace(direction.minimum, direction.maximum, 9)
            poses, right = pose_directions._read(
                variants["fp32"], card, scenes, index, direction.property, amounts
            )
            poses = poses[right]
            given = poses[:, 4]
            along = np.array(direction.vector) + (
                0 if direction.matrix is None else given @ np.array(direction.matrix).T
            )
            along = np.broadcast_to(along, given.shape)
            assert np.median(pose_directions._linearity(poses, amounts)) >= pose_directions.LEAST_LINEARITY
            foretold = pose_directions._foretold(poses - given[:, None], amounts, along)
            assert foretold >= pose_directions.LEAST_FORETOLD, (label, direction.property)
