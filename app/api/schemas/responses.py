"""Define the fields of every answer, with their descriptions. Only routes import this."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from capsnet.card import ModelCard
from capsnet.config import doc

DISTANCE = (
    "How far the reconstruction is from what the network saw: the Euclidean distance over all pixels, each from 0 to "
    "1, after both are blurred (the mean of 3 x 3 pixels). It is 0 where they are equal, and at most the square root "
    "of the number of values in an image. Where the model looks for several objects, as many of the longest capsules "
    "draw together, and their light is added up."
)
POSE = "in the units of the network: the norm of a pose is its capsule's length"


class Answer(BaseModel):
    """Base of all answers: they have the fields that are documented and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="A URN that names the kind of problem.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status, 400 to 599.")
    detail: str = Field(description="What was wrong in this request, and which values are allowed.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(
        description="The id of this request, also in `X-Request-ID` and in the server's log."
    )
    errors: list[dict[str, str]] = Field(
        [],
        description="With 422: each value outside its bounds as `parameter`, `value` and all that is `allowed`.",
    )


class Prediction(Answer):
    """One class and the length of its capsule."""

    index: int = Field(ge=0, description="Index of the class, from 0 to J - 1.")
    label: str = Field(description="Name of the class.")
    length: float = Field(
        ge=0,
        le=1,
        description="Length of the class's capsule: how surely the class is in the image, 0 to 1.",
    )


class Check(Answer):
    """The image compared with what the winning capsule draws."""

    distance: float = Field(ge=0, description=DISTANCE)
    threshold: float = Field(
        ge=0,
        description="The largest distance that is accepted for this image: it depends on the class, "
        "the ink and the lengths. 0 where no distance is.",
    )
    accepted: bool = Field(description="Whether the image is like what the model was trained on.")


Length = Annotated[float, Field(ge=0, le=1)]


class ClassifyAnswer(Answer):
    """The classes in the image."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    predictions: list[Prediction] = Field(description="The longest capsules, longest first.")
    lengths: list[Length] = Field(description="Length of every class capsule, [J], each from 0 to 1.")
    poses: list[list[float]] = Field(description=f"Pose of every class capsule, [J][D], {POSE}.")
    reconstruction: Check | None = Field(None, description="Left out with `verify=false`.")
    input: str | None = Field(None, description="What the network saw. Given with `reconstruct=true`.")
    drawings: list[str] | None = Field(
        None,
        description="What the capsule of each prediction draws, in their order. Given with `reconstruct=true`.",
    )
    objects_found: int | None = Field(
        None,
        ge=2,
        description="How many separate objects there are. Given only where they are more than the model reads.",
    )
    hint: str | None = Field(None, description="What to do then: `POST /read` reads every digit.")
    note: str | None = Field(
        None, description="Given only where the file holds several images, of which the first is read."
    )


class ReadDigit(Answer):
    """A place where something is written."""

    box: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)] = Field(
        description="Left, top, right and bottom in pixels of the image after EXIF has turned it; right and "
        "bottom are just outside."
    )
    line: int = Field(ge=0, description="The line of writing, from 0 at the top.")
    label: str | None = Field(
        description="Name of the class, or null where something is written that is no digit."
    )
    length: float = Field(ge=0, le=1, description="Length of the capsule of the class.")
    accepted: bool = Field(description="Whether it is like what the model was trained on.")
    certain: bool = Field(
        description="False where strokes touch, and it is doubtful which of them belong together."
    )
    pose: list[float] = Field(description=f"Pose of the capsule of the class, [D], {POSE}.")
    input: str | None = Field(None, description="What the network saw. Given with `reconstruct=true`.")
    reconstruction: str | None = Field(
        None, description="What the pose draws. Given with `reconstruct=true`."
    )


class ReadAnswer(Answer):
    """The writing in the image. Drawings are 8-bit PNG files in base64 at the network's own size."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    text: str = Field(
        description="The digits in reading order, `?` where something is no digit, a newline between lines. Dots, "
        "commas and dashes are left out."
    )
    digits: list[ReadDigit] = Field(description="The same in detail, at most as many as the service allows.")
    objects_found: int = Field(
        ge=0, description="How many objects there are, those beyond that limit included."
    )


class Perturbation(Answer):
    """A movement of the pose."""

    dim: int = Field(ge=0, description="Pose dimension, from 0 to D - 1.")
    delta: float = Field(
        ge=-2, le=2, description="What was added to it, in the units of the pose, from -2 to 2."
    )


class Steered(Answer):
    """A movement of the whole pose along a direction."""

    direction: str = Field(description="The property that the direction changes.")
    amount: float = Field(ge=-180, le=180, description="How far, in the direction's unit.")
    unit: str = Field(description="degrees, per cent or pixels.")


class ReconstructAnswer(Answer):
    """The image drawn again. Images are 8-bit PNG files in base64 at the network's own size."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    capsule: Prediction = Field(description="The capsule that was drawn.")
    pose: list[float] = Field(description=f"Its pose as the network gave it, [D], {POSE}.")
    perturbed_pose: list[float] = Field(description="The pose with the perturbations added, [D].")
    perturbations: list[Perturbation] = Field(description="The perturbations, as they were asked for.")
    directions: list[Steered] = Field(description="The directions, as they were asked for.")
    distance: float = Field(ge=0, description=DISTANCE)
    input: str = Field(description="What the network saw.")
    reconstruction: str = Field(description="What the pose draws.")
    perturbed: str = Field(description="What the perturbed pose draws.")


class SweptDirection(Answer):
    """A direction along which the whole pose was moved: a row of `frames`."""

    direction: str = Field(description="The property that it changes.")
    unit: str = Field(description="degrees, per cent or pixels.")
    amounts: list[Annotated[float, Field(ge=-180, le=180)]] = Field(
        description="How far in each column, [steps]."
    )


class SweepAnswer(Answer):
    """A pose moved one dimension or direction at a time. Images are 8-bit PNG in base64 at the network's own size."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    capsule: Prediction = Field(description="The capsule that was drawn.")
    pose: list[float] = Field(description=f"Its pose as the network gave it, [D], {POSE}.")
    dims: list[Annotated[int, Field(ge=0)]] = Field(
        description="Pose dimensions that were moved, each from 0 to D - 1: the rows of `frames`."
    )
    deltas: list[Annotated[float, Field(ge=-2, le=2)]] = Field(
        description="What was added to the dimension, in the units of the pose, from -2 to 2: the columns of `frames`."
    )
    directions: list[SweptDirection] = Field(
        description="Directions that were moved: the rows after those of `dims`."
    )
    frames: list[list[str]] = Field(
        description="Images, [dims + directions][steps]: `frames[i][j]` is the pose with `deltas[j]` added to "
        "dimension `dims[i]`, or moved by column `j` of a direction's `amounts`."
    )
    input: str = Field(description="What the network saw.")
    reconstruction: str = Field(description="What the pose draws as it is.")


class DecodeAnswer(Answer):
    """What the poses draw."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    images: list[str] = Field(description="One 8-bit PNG file in base64 for each pose, in order, 1 to 1,024.")


class Serving(Answer):
    """How this service runs the model."""

    precision: str = Field(description="The variant in use: fp32, fp16 or int8.")
    precision_reason: str = Field(description="Why that one, in words.")
    provider: str = Field(description="The provider of ONNX Runtime that computes.")


@dataclass(frozen=True, kw_only=True)
class Card(ModelCard):
    """A model's card, and how it is served."""

    serving: Serving = field(metadata=doc("How this service runs it."))


class ModelsAnswer(Answer):
    """The models in service."""

    default: str = Field(description="The model that answers where a request names none.")
    models: list[Card] = Field(description="Their cards.")


class LiveAnswer(Answer):
    """The process runs."""

    status: str = Field(description="Always `live`.")


class ReadyAnswer(Answer):
    """The service answers requests."""

    status: str = Field(description="Always `ready`; otherwise the answer is a problem with status 503.")
    provider: str = Field(description="The provider of ONNX Runtime that computes.")
    models: list[str] = Field(description="The models in service.")
