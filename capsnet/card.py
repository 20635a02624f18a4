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

from capsnet.config import InputSpec, ModelConfig, Record, UserError, doc
from capsnet.onnx_file import has_external_data

if TYPE_CHECKING:
    from pydantic import TypeAdapter

CARD_FILE = "card.json"
# The new card of a model until it takes the place of the old one; a killed command leaves it.
CARD_IN_WORK = f".{CARD_FILE}.tmp"
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

    file: str = field(metadata=doc("Name of the file."))
    sha256: str = field(metadata=doc("SHA-256 of the file."))


@dataclass(frozen=True, kw_only=True)
class Grid(Record):
    """The places of a network's input capsules: `rows` by `columns`, with `types` capsules at each."""

    rows: int = dataclasses.field(metadata=doc("Rows of places."))
    columns: int = dataclasses.field(metadata=doc("Columns of places."))
    types: int = dataclasses.field(metadata=doc("Capsules at each place."))
    field: int = dataclasses.field(metadata=doc("Side of the square that a place sees, in pixels."))
    step: int = dataclasses.field(metadata=doc("Pixels from one square to the next."))
    first: int = dataclasses.field(
        metadata=doc("Where the first square begins, in pixels; below 0 where it begins outside.")
    )


@dataclass(frozen=True, kw_only=True)
class Routing(Record):
    """The routing of a network whose input capsules have a place in the image.

    `graph` is no graph by itself: its bytes are appended to those of the fp32 encoder (`capsnet.explanation.votes`).
    """

    graph: Graph = field(
        metadata=doc(
            "What the encoder's file lacks to show its routing; its bytes follow those of the encoder."
        )
    )
    grid: Grid = field(metadata=doc("Where the capsules below stand in the image."))
    iterations: int = field(metadata=doc("Iterations of the routing."))


@dataclass(frozen=True, kw_only=True)
class Appearance(Record):
    """Statistics of the pixels of the training images (see `capsnet.appearance`).

    F is the number of measures of an image. `factor` is that of Cholesky, and `limit` the largest distance of training
    images.
    """

    mean: tuple[float, ...] = field(
        metadata=doc("Mean of each measure of an image over the training images, [F].")
    )
    spread: tuple[float, ...] = field(metadata=doc("Standard deviation of each measure, [F]."))
    factor: tuple[tuple[float, ...], ...] = field(
        metadata=doc("Lower triangle of a factor of the inverse of the measures' correlation, row by row.")
    )
    limit: float = field(metadata=doc("The largest usual distance from the mean."))

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

    The `p95` of models of a user's own images is a bound of 98 %.
    """

    distance: tuple[float, ...] = field(
        metadata=doc(
            "Median distance between image and reconstruction over validation images of each class, [J]."
        )
    )
    ink: tuple[float, ...] = field(metadata=doc("Median Euclidean norm of those images, [J]."))
    p95: tuple[float, ...] = field(
        metadata=doc(
            "Percentile of their anomaly score, [J]: the 95th, unless `accepts` says another; an image with a larger "
            "score is refused."
        )
    )
    p99: tuple[float, ...] = field(metadata=doc("99th percentile of their anomaly score, [J]."))
    accepts: float = field(
        default=0.95,
        metadata=doc(
            "Share of the validation images of each class that `p95` accepts, in (0,1); 0.97 is its 97th."
        ),
    )
    doubt_weight: float = field(
        default=2.0,
        metadata=doc("Weight of the uncertainty of the lengths in the anomaly score, beside the distance."),
    )
    appearance: Appearance | None = field(
        default=None,
        metadata=doc(
            "What the training images have in common, which other images lack. Models of one's own images have it."
        ),
    )

    def __post_init__(self) -> None:
        if not 0 < self.accepts < 1:
            raise CardError(f"'accepts' is {self.accepts:g}; it must be above 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """Results of `training evaluate --write-card` on the test set, which is read once.

    An object counts as an error if it is not among as many longest capsules. `reconstruction_mse` is that of what the
    longest capsules draw together.
    """

    dataset: str = field(metadata=doc("The data set."))
    images: int = field(metadata=doc("Number of test images."))
    errors: int = field(
        metadata=doc("Number of objects classified wrongly; an image shows as many as the model looks for.")
    )
    error: float = field(metadata=doc("Share of them, 0 to 1."))
    margin_loss: float = field(metadata=doc("Mean margin loss."))
    reconstruction_mse: float = field(metadata=doc("Mean squared error of a reconstructed pixel."))
    accepted: float | None = field(
        metadata=doc("Share of the test images that the guard accepts, 0 to 1, where the model has a guard.")
    )
    exact_match_error: float | None = field(
        default=None,
        metadata=doc("Share of the images of several objects in which any was wrong, 0 to 1."),
    )
    draw_errors: tuple[float, ...] | None = field(
        default=None,
        metadata=doc("The errors of several draws of a composed test set, of which `error` is the first."),
    )


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """Results of a variant on the validation images, measured when it was exported."""

    images: int = field(metadata=doc("Number of validation images."))
    errors: int = field(
        metadata=doc("Number of objects classified wrongly; an image shows as many as the model looks for.")
    )
    error: float = field(metadata=doc("Share of them, 0 to 1."))
    pose_difference: float = field(
        metadata=doc("Largest difference of any pose dimension from the encoder in fp32.")
    )

    def counted(self, objects: int) -> str:
        """Say how many objects are classified wrongly, of how many, where an image shows so many."""
        shown = "validation images" if objects == 1 else "objects in validation images"
        return f"{self.errors} of {self.images * objects} {shown}"


@dataclass(frozen=True, kw_only=True)
class Speed(Record):
    """Speed of the encoder on one thread of a processor, measured by `training evaluate --speed`.

    `speedup` was measured in turns with fp32.
    """

    processor: str = field(metadata=doc("The processor, of which one thread was used."))
    images_per_second: dict[str, float] = field(metadata=doc("Images a second, by batch."))
    best_batch: int = field(metadata=doc("The largest batch within 2 % of the fastest."))
    speedup: dict[str, float] = field(metadata=doc("The factor over fp32, at batch 1 and at the best batch."))
    memory_mb: float | None = field(
        default=None,
        metadata=doc(
            "Resident memory in MB that a session of the encoder adds to a process, with a run of the best batch, "
            "where it was measured."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Variant(Record):
    """One precision of the encoder, with its own thresholds and results."""

    encoder: Graph = field(metadata=doc("The encoder's graph."))
    guard: Guard = field(metadata=doc("Its thresholds."))
    validation: Validation | None = field(
        default=None, metadata=doc("What it does to validation images, where that was measured.")
    )
    metrics: Metrics | None = field(
        default=None, metadata=doc("Its figures on test images, where they were measured.")
    )
    speed: Speed | None = field(
        default=None, metadata=doc("Its speed on a processor, where that was measured.")
    )


@dataclass(frozen=True, kw_only=True)
class PoseMeaning(Record):
    """The measured effect of a pose dimension of one class, with its `score`, an R squared on held-out images."""

    dim: int = field(metadata=doc("Pose dimension, from 0."))
    meaning: str = field(metadata=doc("What it changes."))
    score: float = field(metadata=doc("How clearly: R squared on images that were held out, at most 1."))


@dataclass(frozen=True, kw_only=True)
class PoseDirection(Record):
    """The direction in which the pose of a class moves as a property of the image changes by one unit.

    A pose (D,) moves by `amount · (vector + matrix · pose)`; without a matrix by `amount · vector`.
    `training.evaluation.pose_directions` measures it. Scores are those of held-out training images. `property` is one
    of `capsnet.transforms.PROPERTIES`.
    """

    property: str = field(
        metadata=doc("What changes: rotation, slant, width, height, size, weight, shift_x or shift_y.")
    )
    unit: str = field(metadata=doc("Unit of the amounts: degrees, per cent or pixels."))
    minimum: float = field(metadata=doc("Smallest amount that was measured and is accepted."))
    maximum: float = field(metadata=doc("Largest amount that was measured and is accepted."))
    vector: tuple[float, ...] = field(metadata=doc("Change of the pose for one unit, [D]."))
    matrix: tuple[tuple[float, ...], ...] | None = field(
        default=None,
        metadata=doc(
            "Where the direction depends on the pose, [D][D]: the change is vector + matrix · pose."
        ),
    )
    linearity: float = field(
        metadata=doc("Median R squared of the poses of a transformed image along a line of its own.")
    )
    agreement: float = field(
        metadata=doc("Median cosine between that line and this direction, on held-out images.")
    )
    foretold: float = field(
        metadata=doc("R squared over the distance that poses move, by this direction, on held-out images.")
    )
    drawn_slope: float = field(
        metadata=doc("Amount measured on drawings for one unit that was asked; 1 is exact.")
    )
    drawn_r2: float = field(metadata=doc("R squared of that line."))
    leak: float = field(
        metadata=doc(
            "How much another property of the drawings moves at the ends, as a share of its own range."
        )
    )
    length: float = field(
        metadata=doc("Length that the moved pose keeps, as a share, at the end that changes it most.")
    )


@dataclass(frozen=True, kw_only=True)
class ModelCard(Record):
    """The description of a model, in `card.json` beside its graphs. The names of the fields are a promise to users.

    With `members` above 1, or `mirrored`, the lengths are not the norms of the poses, which come from the first
    network and the plain image.
    """

    name: str = field(metadata=doc("Name of the model."))
    version: str = field(metadata=doc("Version of the model."))
    config: ModelConfig = field(metadata=doc("How the network is built."))
    classes: tuple[str, ...] = field(metadata=doc("Names of the classes, by index."))
    input: InputSpec = field(metadata=doc("What the network takes."))
    decoder: Graph = field(metadata=doc("The decoder's graph."))
    variants: dict[str, Variant] = field(metadata=doc("The encoders by precision."))
    export_id: str = field(metadata=doc("Id of the export that wrote graphs and card."))
    objects: int = field(default=1, metadata=doc("How many objects the model looks for in an image."))
    members: int = field(
        default=1,
        metadata=doc("Networks whose mean the lengths are; above 1 they are not the lengths of the poses."),
    )
    mirrored: bool = field(
        default=False, metadata=doc("Whether the lengths are means over an image and its mirror image.")
    )
    parameters: dict[str, int] = field(default_factory=dict, metadata=doc("Numbers of trained parameters."))
    pose_meaning: dict[str, tuple[PoseMeaning, ...]] = field(
        default_factory=dict, metadata=doc("What pose dimensions change, by class, where it is known.")
    )
    pose_directions: dict[str, tuple[PoseDirection, ...]] = field(
        default_factory=dict,
        metadata=doc(
            "How the whole pose moves as an image turns, slants, widens or moves, by class, where it was measured."
        ),
    )
    routing: Routing | None = field(
        default=None,
        metadata=doc("How to see where votes for a class come from; null where the capsules have no place."),
    )
    training: dict[str, Any] = field(
        default_factory=dict, metadata=doc("Data, command and seed that made the model.")
    )
    samples: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Classes of the images in `/models/{name}/samples.png`, from left to right; often none."
        ),
    )

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
