"""Describe a trained model to its users: names, shapes, configuration and the card beside its graphs.

The parts of a card are frozen dataclasses, which pydantic checks when a card is read. So the service reads a card
without PyTorch, and training writes one without ONNX.

Legend of the whole project: B batch, C channels, H height, W width, I input capsules, J output capsules
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
# Its bytes, appended to those of the fp32 encoder, add outputs for the iterations of the routing.
ROUTING_FILE = "routing.onnx"
# A strip of validation images, from left to right, each as the network takes it.
SAMPLES_FILE = "samples.png"

# Names of the tensors in the two graphs.
#   encoder: image (B,C,H,W) float32 in [0,1]            -> lengths (B,J), poses (B,J,D)
#   decoder: poses (N,J,D) float32, label (N,) int64     -> image (N,C,H,W) in [0,1]
#   encoder with the file of its routing               -> couplings and agreements (B,T,J,I), lengths (B,T,J) of T
#                                                          iterations
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

# `auto` takes a faster encoder whose error on the validation images is at most this much above that of fp32.
TOLERATED_ERROR = 0.0005

# Messages in place of those of pydantic that do not fit a card.
PROBLEMS = {"missing": "is missing", "unexpected_keyword_argument": "is not a field of a card"}

# A model's name is used as a folder, as a query parameter and in the path of a URL.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class CardError(UserError):
    """A model card lacks something, contradicts itself, or its files are not those that it names."""


def encoder_file(precision: str) -> str:
    """Return the file name of the encoder graph that computes in `precision`."""
    return "encoder.onnx" if precision == "fp32" else f"encoder.{precision}.onnx"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Graph(Record):
    """One ONNX file beside the card."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Grid(Record):
    """The places of a network's input capsules: `rows` by `columns`, with `types` capsules at each.

    The receptive field of a place is a square of the image, `field` pixels wide. The first field begins at pixel
    `first` of the row and of the column (below 0 where it begins outside), the next one `step` pixels further.
    """

    rows: int
    columns: int
    types: int
    field: int
    step: int
    first: int


@dataclass(frozen=True, kw_only=True)
class Routing(Record):
    """The routing of a network whose input capsules have a place in the image.

    `graph` is no graph by itself: its bytes are appended to those of the fp32 encoder (`capsnet.explanation.votes`).
    """

    graph: Graph
    grid: Grid
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Appearance(Record):
    """Statistics of the pixels of the training images (see `capsnet.appearance`).

    `mean` and `spread` are those of F measures of an image. `factor` is the lower triangle of the Cholesky factor of
    the inverse of their correlation, row by row. `limit` is the largest distance of training images.
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
    """Reference values of each class, and thresholds of the anomaly score, from validation images (`capsnet.guard`).

    `distance` and `ink` are the medians of the reconstruction's distance and of the image's Euclidean norm, `p95` and
    `p99` the 95th and 99th percentiles of the anomaly score. `doubt_weight` is the weight of the uncertainty of the
    lengths. Models of a user's own images have `appearance`, which counts as well; their `p95` is a bound of 98 %.
    """

    distance: tuple[float, ...]
    ink: tuple[float, ...]
    p95: tuple[float, ...]
    p99: tuple[float, ...]
    doubt_weight: float = 2.0
    appearance: Appearance | None = None


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """Results of `training evaluate --write-card` on the test set, which is read once.

    `errors` counts the objects that are not among as many longest capsules, and `error` is their share (0 to 1);
    where an image shows one, that is the share of images classified wrongly. `margin_loss` is the mean margin loss,
    `reconstruction_mse` the mean squared pixel error of what the longest capsules draw together, `accepted` the share
    of images that the guard lets pass (None where the model has no guard yet). `exact_match_error` is the share of
    images of several objects in which any was missed (None where an image shows one). `draw_errors` are the errors
    of several draws of a test set composed of images of another one; the first is `error` (None with a single draw).
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
    """Results of a variant on the validation images, measured when it was exported.

    `errors` and `error` are as in `Metrics`; `pose_difference` is the largest difference of any pose dimension from
    the encoder in fp32.
    """

    images: int
    errors: int
    error: float
    pose_difference: float


@dataclass(frozen=True, kw_only=True)
class Speed(Record):
    """Speed of the encoder on one thread of a processor, measured by `training evaluate --speed`.

    `images_per_second` is by batch. `best_batch` is the largest batch that is within 2 % of the fastest. `speedup` is
    the factor over fp32 at batch 1 and at `best_batch`, measured in turns with it.
    """

    processor: str
    images_per_second: dict[str, float]
    best_batch: int
    speedup: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Variant(Record):
    """One precision of the encoder, with its own thresholds and results."""

    encoder: Graph
    guard: Guard
    validation: Validation | None = None
    metrics: Metrics | None = None
    speed: Speed | None = None


@dataclass(frozen=True, kw_only=True)
class PoseMeaning(Record):
    """The measured effect of a pose dimension of one class, with its `score`, an R squared on held-out images."""

    dim: int
    meaning: str
    score: float


@dataclass(frozen=True, kw_only=True)
class PoseDirection(Record):
    """The direction in which the pose of a class moves as a property of the image changes by one unit.

    A pose (D,) moves by `amount · (vector + matrix · pose)`; without a matrix by `amount · vector`.
    `training.evaluation.pose_directions` measures it. Scores are those of held-out training images.

    Attributes
    ----------
    property, unit
        One of `capsnet.transforms.PROPERTIES`, and the unit of its amounts.
    minimum, maximum
        The smallest and the largest amount that was measured.
    vector
        (D,) change of the pose for one unit.
    matrix
        (D,D) where the direction depends on the pose; None where one vector holds for the class.
    linearity
        Median R squared of a line fitted to the poses of one image.
    agreement
        Median cosine between the line of one image and this direction.
    foretold
        R squared of the poses that this direction predicts.
    drawn_slope, drawn_r2
        Slope and R squared of the property, measured on drawings of moved poses, over the amount of the movement.
    leak
        The largest change of another property of the drawings at the ends, as a share of that property's range.
    length
        The mean length of the capsule at the end that changes it more, as a share of the length before.
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
    """The description of a model, in `card.json` beside its graphs. The names of the fields are a promise to users.

    With `members` above 1, or `mirrored`, the lengths are means over several networks, or over each image and its
    mirror image. Then they are not the norms of the poses, which come from the first network and the plain image.
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
        self._check_names()
        self._check_shapes()
        self._check_guards()
        for label, directions in self.pose_directions.items():
            self._check_directions(label, directions)
        if not _is_finite(self.training):
            raise CardError("'training' holds a number that is not finite")

    def _check_names(self) -> None:
        """Raise CardError unless the names of the model, its classes and its variants are sound."""
        if not NAME.fullmatch(self.name):
            raise CardError(f"'name' is {self.name!r}; allowed is {NAME.pattern}")
        if len(set(self.classes)) < len(self.classes):
            raise CardError("'classes' repeats a name")
        if "fp32" not in self.variants:
            raise CardError("'variants' has no 'fp32'")
        if not set(self.variants) <= set(typing.get_args(Precision)):
            raise CardError(f"'variants' must be among {', '.join(typing.get_args(Precision))}")
        if not set(self.samples) <= set(self.classes):
            raise CardError("'samples' names something other than a class")

    def _check_shapes(self) -> None:
        """Raise CardError unless the numbers of the card agree with its configuration."""
        count = self.config.num_classes
        if len(self.classes) != count:
            raise CardError(f"'classes' has {len(self.classes)} names, 'config.num_classes' is {count}")
        if (self.input.channels, self.input.height, self.input.width) != self.config.image_shape:
            raise CardError("'input' and 'config' disagree on the image's shape")
        if not 1 <= self.objects <= count:
            raise CardError(f"'objects' is {self.objects}; it must lie between 1 and the number of classes")
        if self.members < 1:
            raise CardError(f"'members' is {self.members}; it must be at least 1")

    def _check_guards(self) -> None:
        """Raise CardError unless each guard has one number for each class."""
        for precision, variant in self.variants.items():
            for name, numbers in vars(variant.guard).items():
                if isinstance(numbers, tuple) and len(numbers) != self.config.num_classes:
                    raise CardError(
                        f"'variants.{precision}.guard.{name}' must have one number for each class"
                    )

    def _check_directions(self, label: str, directions: tuple[PoseDirection, ...]) -> None:
        """Raise CardError unless the directions belong to a class, are named once, and have the pose's size."""
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
        """Return a copy of the card with new metrics of some variants, by precision."""
        return self._with_each("metrics", metrics)

    def with_speeds(self, speeds: Mapping[str, Speed]) -> "ModelCard":
        """Return a copy of the card with new speeds of some variants, by precision."""
        return self._with_each("speed", speeds)

    def _with_each(self, name: str, values: Mapping[str, Any]) -> "ModelCard":
        variants = {
            precision: dataclasses.replace(variant, **{name: values.get(precision, getattr(variant, name))})
            for precision, variant in self.variants.items()
        }
        return dataclasses.replace(self, variants=variants)

    def find_class(self, label: int | str) -> int | None:
        """Return the index of a class given by its name or, where no class has that name, by its index; else None."""
        if label in self.classes:
            return self.classes.index(str(label))
        text = str(label)
        is_index = text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(self.classes)
        return int(text) if is_index else None

    def fastest_precision(self, on_gpu: bool) -> tuple[str, str]:
        """Return the fastest precision on a device whose measured errors are those of fp32, and the reason."""
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
        """Return the card as indented JSON that ends in a newline."""
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
        """Raise CardError unless every graph in `folder` has the hash that the card names, and no external data."""
        graphs = [self.decoder, *(variant.encoder for variant in self.variants.values())]
        for graph in graphs + ([self.routing.graph] if self.routing else []):
            path = folder / graph.file
            if path.name != graph.file:  # a card from another source must not lead elsewhere
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
        except OSError as error:
            raise CardError(f"{path}: cannot be read ({error.strerror or error})") from None
        except UnicodeError as error:
            raise CardError(f"{path}: is not UTF-8 ({error})") from None
        return cls.from_json(text, str(path))


@functools.cache
def _reader() -> "TypeAdapter[ModelCard]":
    """Return the reader of cards.

    Pydantic is imported with the first card (about 0.1 s and 19 MB), since a client of the service reads none. The next
    card takes 0.7 ms.
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
