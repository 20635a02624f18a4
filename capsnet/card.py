"""Describe a trained model to its users: names, shapes, configuration and the card beside its graphs.

The parts of a card are frozen dataclasses, which pydantic checks when a card is read. The service can so read a card
without PyTorch, and training can write one without ONNX.

Legend used all over the project: B batch, C channels, H height, W width, I input capsules, J output capsules
(one a class), D pose dimensions.
"""

import dataclasses
import functools
import hashlib
import json
import math
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from capsnet.config import InputSpec, ModelConfig, Record, UserError
from capsnet.onnx_file import has_external_data

if TYPE_CHECKING:
    from pydantic import TypeAdapter

CARD_FILE = "card.json"
DECODER_FILE = "decoder.onnx"
# Added to the bytes of the fp32 encoder, this gives the course of its routing as well.
ROUTING_FILE = "routing.onnx"
# A strip of validation images, from left to right, each as the network takes it.
SAMPLES_FILE = "samples.png"

# Names of the tensors in the two graphs.
#   encoder: image (B,C,H,W) float32 in [0,1]            -> lengths (B,J), poses (B,J,D)
#   decoder: poses (N,J,D) float32, label (N,) int64     -> image (N,C,H,W) in [0,1]
#   encoder with the file of its routing               -> couplings and agreements (B,T,J,I), lengths (B,T,J) of each
#                                                          of T iterations
IMAGE = "image"
LENGTHS = "lengths"
POSES = "poses"
LABEL = "label"
COUPLINGS = "couplings"
AGREEMENTS = "agreements"
ROUTED_LENGTHS = "routed_lengths"

# Keys of the metadata that ties a graph to its card.
METADATA_NAME = "capsnet.name"
METADATA_EXPORT_ID = "capsnet.export_id"

Precision = Literal["fp32", "fp16", "int8"]


# `auto` takes a faster encoder that errs on at most this much more of the validation images.
TOLERATED_ERROR = 0.0005

# The words for an error of pydantic where its own would puzzle a reader of a card.
PROBLEMS = {"missing": "is missing", "unexpected_keyword_argument": "is not a field of a card"}

# A model's name is a folder, a query parameter and a part of a path.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class CardError(UserError):
    """A model card is missing something, contradicts itself, or its files are not the ones it names."""


def encoder_file(precision: str) -> str:
    """File name of the encoder graph that computes in `precision`."""
    return "encoder.onnx" if precision == "fp32" else f"encoder.{precision}.onnx"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Graph(Record):
    """One ONNX file beside the card."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Grid(Record):
    """Where the input capsules of a network stand: `types` of them at each place of `rows` by `columns`.

    Each place sees a square of the image, `field` pixels wide. The first begins at pixel `first` of the row and of the
    column (below 0 where it begins outside), the next `step` pixels further.
    """

    rows: int
    columns: int
    types: int
    field: int
    step: int
    first: int


@dataclass(frozen=True, kw_only=True)
class Routing(Record):
    """How to see the routing of a network whose input capsules have a place.

    `graph` is no graph by itself: its bytes follow those of the fp32 encoder (`capsnet.explanation.votes`).
    """

    graph: Graph
    grid: Grid
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Appearance(Record):
    """What the pixels of the training images have in common (see `capsnet.appearance`).

    `mean` and `spread` are those of F measures of an image. `factor` is the lower triangle of the Cholesky factor of
    the inverse of their correlation, row by row. `limit` is the largest usual distance.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    factor: tuple[tuple[float, ...], ...]
    limit: float

    def __post_init__(self) -> None:
        size = len(self.mean)
        if [len(self.spread), *map(len, self.factor)] != [size, *range(1, size + 1)]:
            raise CardError(
                "'appearance' must have as many spreads as means, and a row of its factor for each"
            )
        if not all(value > 0 for value in (*self.spread, self.limit)):
            raise CardError("'appearance' must have spreads and a limit above 0")


@dataclass(frozen=True, kw_only=True)
class Guard(Record):
    """The usual values of validation images of each class, and the thresholds of strangeness (see `capsnet.guard`).

    `distance` and `ink` are the medians of the reconstruction's distance and of the image's Euclidean norm, `p95` and
    `p99` the 95th and 99th percentiles of the strangeness. `doubt_weight` says how much the lengths count beside the
    distance. Models of few images of one's own have `appearance`, which counts as well.
    """

    distance: tuple[float, ...]
    ink: tuple[float, ...]
    p95: tuple[float, ...]
    p99: tuple[float, ...]
    doubt_weight: float = 2.0
    appearance: Appearance | None = None


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """What `training evaluate --write-card` measured on the test set, read once.

    `errors` counts the objects that are not among as many longest capsules, and `error` is their share (0 to 1);
    where an image shows one, that is the share of images classified wrongly. `margin_loss` is the mean margin loss,
    `reconstruction_mse` the mean squared pixel error of what the longest capsules draw together, `accepted` the share
    of images that the guard lets pass (None where the model has no guard yet). `exact_match_error` is the share of
    images of several objects in which any was missed (None where an image shows one). `draw_errors` are the errors
    of several draws of a test set that is composed of another's images, of which the first is `error` (None where there
    was one).
    """

    dataset: str
    images: int
    errors: int
    error: float
    margin_loss: float
    reconstruction_mse: float
    accepted: float | None
    exact_match_error: float | None = None
    draw_errors: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """What a variant does to the validation images, measured when it was made.

    `errors` and `error` are as in `Metrics`; `pose_difference` is the largest difference of any pose dimension from
    the encoder in fp32.
    """

    images: int
    errors: int
    error: float
    pose_difference: float


@dataclass(frozen=True, kw_only=True)
class Speed(Record):
    """How fast the encoder runs on one thread of a processor, as `training evaluate --speed` measured it.

    `images_per_second` is by batch. `best_batch` is the largest batch that is within 2 % of the fastest. `speedup` is
    the factor over fp32 at batch 1 and at `best_batch`, measured in turns with it.
    """

    processor: str
    images_per_second: dict[str, float]
    best_batch: int
    speedup: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Variant(Record):
    """One precision of the encoder, with the thresholds and figures that belong to it."""

    encoder: Graph
    guard: Guard
    validation: Validation | None = None
    metrics: Metrics | None = None
    speed: Speed | None = None


@dataclass(frozen=True, kw_only=True)
class PoseMeaning(Record):
    """What a pose dimension of one class was measured to change, and how clearly (`score`, held-out R squared)."""

    dim: int
    meaning: str
    score: float


@dataclass(frozen=True, kw_only=True)
class PoseDirection(Record):
    """The direction in which a class's whole pose moves as a property of the image changes, by one unit of it.

    A pose (D,) moves by `amount · (vector + matrix · pose)`; without a matrix by `amount · vector`. It was measured
    from `minimum` to `maximum`; `training.evaluation.pose_directions` says how. Scores are of held-out training images.

    Attributes
    ----------
    property, unit
        One of `capsnet.transforms.PROPERTIES`, and the unit of its amounts.
    minimum, maximum
        The amounts between which it was measured.
    vector
        (D,) change of the pose for one unit.
    matrix
        (D,D) where the direction depends on the pose; None where one vector holds for the class.
    linearity
        Median R squared of an image's poses along a line of its own.
    agreement
        Median cosine between an image's own line and this direction.
    foretold
        R squared over the distance that poses move, by this direction.
    drawn_slope, drawn_r2
        The property measured on drawings of moved poses against the amount that was asked: slope and R squared.
    leak
        The most that another property of the drawings moves at the ends, as a share of its own range.
    length
        The mean length at the end of the direction that changes it most, as a share of the length before.
    """

    property: str
    unit: str
    minimum: float
    maximum: float
    vector: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...] | None = None
    linearity: float
    agreement: float
    foretold: float
    drawn_slope: float
    drawn_r2: float
    leak: float
    length: float


@dataclass(frozen=True, kw_only=True)
class ModelCard(Record):
    """The truth about a model, in `card.json` beside its graphs. The names of the fields are a promise to users.

    With `members` above 1, or `mirrored`, the lengths are means over several networks, or over each image and its
    mirror image. They are not the lengths of the poses then, which are those of the first network and the plain image.
    `samples` are the classes of the images in `SAMPLES_FILE`, if the export has kept any.
    """

    name: str
    version: str
    config: ModelConfig
    classes: tuple[str, ...]
    input: InputSpec
    decoder: Graph
    variants: dict[str, Variant]
    export_id: str
    objects: int = 1
    members: int = 1
    mirrored: bool = False
    parameters: dict[str, int] = field(default_factory=dict)
    pose_meaning: dict[str, tuple[PoseMeaning, ...]] = field(default_factory=dict)
    pose_directions: dict[str, tuple[PoseDirection, ...]] = field(default_factory=dict)
    routing: Routing | None = None
    training: dict[str, Any] = field(default_factory=dict)
    samples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for ok, problem in [
            (NAME.fullmatch(self.name) is not None, f"'name' is {self.name!r}; allowed is {NAME.pattern}"),
            (
                len(self.classes) == self.config.num_classes,
                f"'classes' has {len(self.classes)} names, 'config.num_classes' is {self.config.num_classes}",
            ),
            (len(set(self.classes)) == len(self.classes), "'classes' repeats a name"),
            (
                (self.input.channels, self.input.height, self.input.width) == self.config.image_shape,
                "'input' and 'config' disagree on the image's shape",
            ),
            ("fp32" in self.variants, "'variants' has no 'fp32'"),
            (
                set(self.variants) <= set(typing.get_args(Precision)),
                f"'variants' must be among {', '.join(typing.get_args(Precision))}",
            ),
            (
                1 <= self.objects <= self.config.num_classes,
                f"'objects' is {self.objects}; it must lie between 1 and the number of classes",
            ),
            (set(self.samples) <= set(self.classes), "'samples' names something other than a class"),
            (self.members >= 1, f"'members' is {self.members}; it must be at least 1"),
            (_is_finite(self.training), "'training' holds a number that is not finite"),
        ]:
            if not ok:
                raise CardError(problem)
        self._check_guards()
        for label, directions in self.pose_directions.items():
            self._check_directions(label, directions)

    def _check_guards(self) -> None:
        """Raise CardError unless each guard has a number for each class."""
        for precision, variant in self.variants.items():
            for name, numbers in vars(variant.guard).items():
                if isinstance(numbers, tuple) and len(numbers) != self.config.num_classes:
                    raise CardError(f"'variants.{precision}.guard.{name}' must have one number a class")

    def _check_directions(self, label: str, directions: tuple[PoseDirection, ...]) -> None:
        """Raise CardError unless the directions are those of a class, each once and of the pose's size."""
        where, size = f"'pose_directions.{label}'", self.config.pose_dim
        if label not in self.classes:
            raise CardError(f"{where} is of no class of the model")
        names = [each.property for each in directions]
        if len(set(names)) < len(names):
            raise CardError(f"{where} names a property twice")
        for each in directions:
            rows = (each.vector, *(each.matrix or ()))
            if any(len(row) != size for row in rows) or (
                each.matrix is not None and len(each.matrix) != size
            ):
                raise CardError(f"{where}: the direction of {each.property!r} must be of {size} dimensions")
            if not each.minimum < 0 < each.maximum:
                raise CardError(f"{where}: the bounds of {each.property!r} must lie on either side of 0")

    def with_metrics(self, metrics: Mapping[str, Metrics]) -> "ModelCard":
        """A copy of the card with the figures of some variants, by precision, put in."""
        return self._with_each("metrics", metrics)

    def with_speeds(self, speeds: Mapping[str, Speed]) -> "ModelCard":
        """A copy of the card with the speeds of some variants, by precision, put in."""
        return self._with_each("speed", speeds)

    def _with_each(self, name: str, values: Mapping[str, Any]) -> "ModelCard":
        variants = {
            precision: dataclasses.replace(variant, **{name: values.get(precision, getattr(variant, name))})
            for precision, variant in self.variants.items()
        }
        return dataclasses.replace(self, variants=variants)

    def fastest_precision(self, on_gpu: bool) -> tuple[str, str]:
        """Return the fastest precision on a device that is measured to be as good as fp32, and the reason."""
        precision, device = ("fp16", "a GPU") if on_gpu else ("int8", "a CPU")
        variant, exact = self.variants.get(precision), self.variants["fp32"]
        if variant is None:
            return "fp32", f"the model has no {precision}"
        if variant.validation is None or exact.validation is None:
            return "fp32", f"the card does not compare the errors of {precision} and fp32"
        error, least = variant.validation.error, exact.validation.error
        errors = (
            f"{precision} errs on {100 * error:.2f} % of the validation images, fp32 on {100 * least:.2f} %"
        )
        if error > least + TOLERATED_ERROR:
            return "fp32", errors
        return precision, f"fastest on {device}: {errors}"

    def to_json(self) -> str:
        """The card as indented JSON, ending in a newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = CARD_FILE) -> "ModelCard":
        """Read a card.

        Raises
        ------
        CardError
            If the text is not a card; the message begins with `source` and names the field.
        """
        from pydantic import ValidationError  # late, as in `_reader`

        try:
            return _reader().validate_json(text)
        except ValidationError as error:
            raise CardError(f"{source}: {_sentence(error.errors()[0])}") from None

    def check_files(self, folder: Path) -> None:
        """Raise CardError unless every graph in `folder` is, byte for byte, the one that the card names."""
        graphs = [self.decoder, *(variant.encoder for variant in self.variants.values())]
        for graph in graphs + ([self.routing.graph] if self.routing else []):
            path = folder / graph.file
            if path.name != graph.file:  # a card from a stranger must not lead elsewhere
                raise CardError(
                    f"{folder / CARD_FILE}: {graph.file!r} must be the name of a file beside the card"
                )
            try:
                found = sha256(path)
            except OSError as error:
                raise CardError(f"{path}: cannot be read ({error.strerror or error})") from None
            if found != graph.sha256:
                raise CardError(
                    f"{path}: is not the file its card speaks of: SHA-256 is {found}, not {graph.sha256}"
                )
            if has_external_data(path.read_bytes()):
                raise CardError(
                    f"{path}: keeps weights in another file, which the card's hash does not cover; "
                    "save the graph as one file"
                )

    @classmethod
    def load(cls, folder: Path) -> "ModelCard":
        """Read `card.json` in `folder`; raises CardError if it is missing or wrong."""
        path = folder / CARD_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise CardError(f"{path}: cannot be read ({error})") from None
        return cls.from_json(text, str(path))


@functools.cache
def _reader() -> "TypeAdapter[ModelCard]":
    """Return what reads cards.

    Pydantic loads with the first card (about 0.1 s and 14 MB), since a client of the service reads none. The next card
    takes 0.7 ms.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(ModelCard)


def _sentence(error: Mapping[str, Any]) -> str:
    """Return an error of pydantic as a sentence that names the field."""
    if error["type"] == "value_error":  # a check of the project's own
        return str(error["ctx"]["error"])
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    what = PROBLEMS.get(error["type"]) or str(error["msg"]).replace("Input should", "should")
    return f"'{where.removeprefix('.')}' {what}" if where else f"the card: {what}"


def _is_finite(value: Any) -> bool:
    """Tell whether all numbers in a value made of JSON's types are finite."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
