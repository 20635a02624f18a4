"""Define the parameters and bodies of requests: documentation and validation in one place.

Only routes import this. Lists fail at their first wrong element: a million errors take half a minute to build.
"""

import re
from collections import Counter
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from capsnet.arguments import MAX_POSE

from ...errors import did_you_mean

MAX_DELTA = 2.0
MAX_DIM = 999_999
MAX_POSES = 1024
MAX_PERTURBATIONS = 1024
MAX_STEPS = 51
# Degrees, per cent or pixels; how far a direction goes stands on the card.
MAX_AMOUNT = 180.0
LONGEST_NAME = 200

# A few digits are enough for any dimension, and bound the conversion.
DIMS = re.compile(r"[0-9]{1,6}(,[0-9]{1,6})*")

# Parameters that may be given more than once.
REPEATABLE = {"dim", "delta", "direction", "amount"}

DIRECTIONS = re.compile(r"[a-z_]{1,40}(,[a-z_]{1,40})*")

PreprocessChoice = Literal["none", "mnist", "fashion", "resize"]


@dataclass(frozen=True)
class Between:
    """A number's bounds for an annotation; the error names both, and so does the schema.

    The error says `upper` for a highest number that only the model knows.
    """

    lowest: float
    highest: float
    upper: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "minimum": self.lowest, "maximum": self.highest}

    def _check(self, value: float) -> float:
        if not self.lowest <= value <= self.highest:
            upper = self.upper or f"{self.highest:g}"
            raise PydanticCustomError("bounds", f"should be from {self.lowest:g} to {upper}")
        return value


def refusal(parameter: str, value: str, allowed: str) -> PydanticCustomError:
    """Return a validation error that names parameter and value itself, for rules over several fields."""
    context = {"parameter": parameter, "value": value, "allowed": allowed}
    return PydanticCustomError("refused", "{allowed}", context)


class Parameters(BaseModel):
    """Base of what a client sends: a name that is not known is refused, never ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, values: Any) -> Any:
        names = list(values) if isinstance(values, dict) else []
        unknown = next((name for name in names if name not in cls.model_fields), None)
        if unknown is not None:
            known = ", ".join(cls.model_fields)
            there_are = f"it may be one of {known}" if known else "this route takes none"
            raise refusal(
                repr(unknown),
                repr(values[unknown]),
                f"no such parameter{did_you_mean(unknown, cls.model_fields)}; {there_are}",
            )
        return values


class NoParameters(Parameters):
    """For routes without a query string."""


Delta = Annotated[FiniteFloat, Between(-MAX_DELTA, MAX_DELTA)]
Amount = Annotated[FiniteFloat, Between(-MAX_AMOUNT, MAX_AMOUNT)]
DirectionName = Annotated[str, Field(max_length=LONGEST_NAME)]
# How many classes or dimensions a model has is checked when it is known.
TopK = Annotated[int, Between(1, 10_000, "the number of classes")]
Dim = Annotated[int, Between(0, MAX_DIM, "the last dimension of the pose")]


class ImageParameters(Parameters):
    """What every route that takes an image understands."""

    model: str | None = Field(
        None,
        max_length=LONGEST_NAME,
        description="Name of the model, see `GET /models`; the default model otherwise.",
        examples=["mnist"],
    )
    preprocess: PreprocessChoice | None = Field(
        None,
        description="How the image file becomes what the network takes: the way on the model's card, unless another "
        "is named here. `none` only resizes.",
        examples=["mnist"],
    )


class ClassifyParameters(ImageParameters):
    """Query string of `POST /classify`."""

    top_k: TopK | None = Field(
        None,
        description="How many predictions to give, at most the number of classes; by default as many objects as the "
        "model looks for.",
        examples=[3],
    )
    verify: bool = Field(
        True,
        description="Draw the image again and compare; `false` leaves `reconstruction` out and saves time.",
    )
    reconstruct: bool = Field(
        False,
        description="Give what the network saw, and what the capsule of each prediction draws.",
    )


class DrawingParameters(ImageParameters):
    """What the routes understand that draw an image again."""

    label: str | None = Field(
        None,
        max_length=LONGEST_NAME,
        description="Class of the capsule, by its name or else by its index; the longest capsule otherwise.",
        examples=["7"],
    )


class ReadParameters(Parameters):
    """Query string of `POST /read`."""

    model: str | None = Field(
        None, max_length=LONGEST_NAME, description="Model that reads; it must be one for single digits."
    )
    reconstruct: bool = Field(
        False, description="Whether to add what the network saw of each digit, and what its capsule draws."
    )


class ReconstructParameters(DrawingParameters):
    """Query string of `POST /reconstruct`."""

    dim: list[Dim] = Field(
        [],
        fail_fast=True,
        max_length=MAX_PERTURBATIONS,
        description="Pose dimension to move, from 0; repeat it in pairs with `delta`, each dimension once.",
        examples=[[3]],
    )
    delta: list[Delta] = Field(
        [],
        fail_fast=True,
        max_length=MAX_PERTURBATIONS,
        description="What to add to the dimension, in the units of the pose, from -2 to 2.",
        examples=[[0.1]],
    )
    direction: list[DirectionName] = Field(
        [],
        fail_fast=True,
        max_length=MAX_PERTURBATIONS,
        description="Direction along which to move the whole pose, one of `pose_directions` on the model's card for "
        "the capsule's class; repeat it in pairs with `amount`, each direction once.",
        examples=[["slant"]],
    )
    amount: list[Amount] = Field(
        [],
        fail_fast=True,
        max_length=MAX_PERTURBATIONS,
        description="How far, in the direction's unit (degrees, per cent or pixels): from `minimum` to `maximum` on "
        "the card, which lie between -180 and 180.",
        examples=[[12]],
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if len(self.direction) != len(self.amount):
            raise refusal(
                "'amount'",
                f"given {len(self.amount)} times",
                f"'direction' is given {len(self.direction)} times; they come in pairs",
            )
        name, times = max(Counter(self.direction).items(), key=itemgetter(1), default=("", 0))
        if times > 1:
            raise refusal("'direction'", repr(name), "each direction may be given once")
        if len(self.dim) != len(self.delta):
            raise refusal(
                "'delta'",
                f"given {len(self.delta)} times",
                f"'dim' is given {len(self.dim)} times; they come in pairs",
            )
        dim, count = max(Counter(self.dim).items(), key=itemgetter(1), default=(0, 0))
        if count > 1:
            raise refusal("'dim'", str(dim), "each dimension may be given once")
        return self


def _is_dims(value: str) -> str:
    if not DIMS.fullmatch(value):
        raise PydanticCustomError(
            "dims", "should be pose dimensions from 0 with commas between them, as in 0,3"
        )
    return value


# A list in one parameter; the type list would need a parameter for each element.
Dims = Annotated[
    str, AfterValidator(_is_dims), WithJsonSchema({"type": "string", "pattern": f"^{DIMS.pattern}$"})
]


def _is_directions(value: str) -> str:
    if not DIRECTIONS.fullmatch(value):
        raise PydanticCustomError(
            "directions", "should be directions of the pose with commas between them, as in slant,width"
        )
    return value


Directions = Annotated[
    str,
    AfterValidator(_is_directions),
    WithJsonSchema({"type": "string", "pattern": f"^{DIRECTIONS.pattern}$"}),
]


class SweepParameters(DrawingParameters):
    """Query string of `POST /sweep`."""

    dims: Dims | None = Field(
        None,
        description="Pose dimensions to move, from 0, with commas between them and each once: the rows, in this "
        "order. All dimensions otherwise, and none where `directions` are given.",
        examples=["0,3"],
    )
    directions: Directions | None = Field(
        None,
        description="Directions of the pose to move, each once and with commas between them: the rows after those of "
        "`dims`. Each is moved from its `minimum` to its `maximum` on the model's card.",
        examples=["slant,width"],
    )
    min: Delta = Field(
        -0.25,
        description="The first column: the amount added to the dimension, in the units of the pose, from -2 to 2.",
        examples=[-0.25],
    )
    max: Delta = Field(
        0.25, description="The last column, from -2 to 2 and larger than `min`.", examples=[0.25]
    )
    steps: Annotated[int, Between(2, MAX_STEPS)] = Field(
        11,
        description="Number of columns, evenly spaced from `min` to `max`, both of them included.",
        examples=[11],
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.min >= self.max:
            raise refusal("'min'", f"{self.min:g}", f"should be less than 'max', which is {self.max:g}")
        dim, count = max(Counter(self.rows).items(), key=itemgetter(1), default=(0, 0))
        if count > 1:
            raise refusal(
                "'dims'", repr(self.dims), f"each dimension may be given once, {dim} is given {count} times"
            )
        if len(set(self.names)) < len(self.names):
            raise refusal("'directions'", repr(self.directions), "each direction may be given once")
        return self

    @property
    def names(self) -> list[str]:
        """Return the names in `directions`."""
        return [] if self.directions is None else self.directions.split(",")

    @property
    def rows(self) -> list[int] | None:
        """Return the dimensions in `dims`, or None for all."""
        return None if self.dims is None else list(map(int, self.dims.split(",")))


def _is_label(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("label_type", "should be an index or the name of a class")
    if isinstance(value, str) and len(value) > LONGEST_NAME:
        raise PydanticCustomError("label_length", f"should have at most {LONGEST_NAME} characters")
    return value


Label = Annotated[int | Annotated[str, Field(max_length=LONGEST_NAME)], BeforeValidator(_is_label)]
Number = Annotated[FiniteFloat, Field(strict=True, ge=-MAX_POSE, le=MAX_POSE)]
Pose = Annotated[list[Number], Field(min_length=1, max_length=1024, fail_fast=True)]


def longest_decode_body(pose_dim: int) -> int:
    """Return the bytes of the largest `DecodeRequest` for poses of `pose_dim` dimensions, indented or not.

    A number has up to 24 characters beside its comma, line break and indentation; a label has at most 200 bytes.
    """
    return MAX_POSES * (40 * pose_dim + 256)


class DecodeRequest(Parameters):
    """Body of `POST /decode`: `pose` with `label`, or `poses` with `label` or `labels`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"label": "7", "pose": [0.1, -0.2, 0, 0.3, 0, 0, 0.1, 0, -0.1, 0, 0.2, 0, 0, 0, 0.1, 0]}
            ]
        }
    )

    model: str | None = Field(
        None, max_length=LONGEST_NAME, description="Name of the model; the default model otherwise."
    )
    label: Label | None = Field(
        None, description="Class of the capsule, for all poses: its name (a string) or else its index."
    )
    labels: list[Label] | None = Field(
        None,
        fail_fast=True,
        min_length=1,
        max_length=MAX_POSES,
        description="Instead of `label`: one class for each of `poses`.",
    )
    pose: Pose | None = Field(
        None,
        description="A pose of as many numbers as the model's capsules have dimensions, each within a million.",
    )
    poses: list[Pose] | None = Field(
        None,
        fail_fast=True,
        min_length=1,
        max_length=MAX_POSES,
        description="Instead of `pose`: up to 1,024 poses.",
    )

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if (self.pose is None) == (self.poses is None):
            given = "missing" if self.pose is None else "given beside 'poses'"
            raise refusal("'pose'", given, "exactly one of 'pose' and 'poses' is needed")
        if (self.label is None) == (self.labels is None):
            given = "missing" if self.label is None else "given beside 'labels'"
            raise refusal("'label'", given, "exactly one of 'label' and 'labels' is needed")
        if self.labels is not None and len(self.labels) != len(self.all_poses):
            raise refusal(
                "'labels'", f"{len(self.labels)} long", f"should be {len(self.all_poses)}, one for each pose"
            )
        return self

    @property
    def all_poses(self) -> list[list[float]]:
        """Return the poses, also where there is one."""
        return self.poses if self.pose is None else [self.pose]  # type: ignore[return-value]  # see _check_choice

    @property
    def all_labels(self) -> list[int | str]:
        """Return one label for each pose, or one for all."""
        return self.labels if self.label is None else [self.label]  # type: ignore[return-value]  # see _check_choice
