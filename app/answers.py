"""What goes out: the fields of every answer, described. Only the routes import this."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all answers: they have the fields that are documented and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="A URN that names the kind of problem.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong in this request, and what is allowed.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(
        description="The id of this request, also in `X-Request-ID` and in the server's log."
    )
    errors: list[dict[str, str]] = Field(
        [], description="With 422: each value outside its bounds as `parameter`, `value` and `allowed`."
    )


class Prediction(Answer):
    """One class and the length of its capsule."""

    index: int = Field(description="Index of the class, from 0.")
    label: str = Field(description="Name of the class.")
    length: float = Field(
        description="Length of the class's capsule: how surely the class is in the picture, 0 to 1."
    )


class Check(Answer):
    """The picture compared with what the winning capsule draws."""

    distance: float = Field(description="How far the reconstruction is from the picture; see `GET /models`.")
    threshold: float = Field(description="The largest distance that is accepted for this class.")
    accepted: bool = Field(description="Whether the picture is like what the model was trained on.")


class ClassifyAnswer(Answer):
    """What is in the picture."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    predictions: list[Prediction] = Field(description="The longest capsules, longest first.")
    lengths: list[float] = Field(description="Length of every class capsule, [J].")
    poses: list[list[float]] = Field(description="Pose of every class capsule, [J][D].")
    reconstruction: Check | None = Field(None, description="Left out with `verify=false`.")


class Perturbation(Answer):
    """A movement of the pose."""

    dim: int = Field(description="Pose dimension, from 0.")
    delta: float = Field(description="What was added to it.")


class ReconstructAnswer(Answer):
    """The picture drawn again. Pictures are 8-bit PNG files in base64 at the network's own size."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    capsule: Prediction = Field(description="The capsule that was drawn.")
    pose: list[float] = Field(description="Its pose as the network gave it, [D].")
    perturbed_pose: list[float] = Field(description="The pose with the perturbations added, [D].")
    perturbations: list[Perturbation] = Field(description="The perturbations, as they were asked for.")
    distance: float = Field(description="How far the reconstruction is from the input.")
    input: str = Field(description="What the network saw.")
    reconstruction: str = Field(description="What the pose draws.")
    perturbed: str = Field(description="What the perturbed pose draws.")


class DecodeAnswer(Answer):
    """What the poses draw."""

    model: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    images: list[str] = Field(description="One 8-bit PNG file in base64 for each pose, in order.")


class Config(Answer):
    """How the network is built."""

    architecture: str = Field(description="Name of the architecture.")
    num_classes: int = Field(description="Number of class capsules, J.")
    channels: int = Field(description="Channels of the image, 1 to 3.")
    height: int = Field(description="Height of the image in pixels.")
    width: int = Field(description="Width of the image in pixels.")
    pose_dim: int = Field(description="Dimensions of a pose, D.")
    routing_iterations: int = Field(
        description="Iterations of dynamic routing, where the architecture has any."
    )
    class_bias: bool = Field(description="Whether class capsules have a bias.")
    detach_routing: bool = Field(description="Whether training kept the gradient out of the routing.")
    decoder_hidden: list[int] = Field(description="Widths of the decoder's hidden layers.")


class Input(Answer):
    """What the network takes."""

    channels: int = Field(description="Channels of the image, 1 to 3.")
    height: int = Field(description="Height in pixels.")
    width: int = Field(description="Width in pixels.")
    preprocess: str = Field(description="How a picture becomes that: `mnist`, `fashion` or `resize`.")


class Graph(Answer):
    """An ONNX file."""

    file: str = Field(description="Name of the file.")
    sha256: str = Field(description="SHA-256 of the file.")


class Guard(Answer):
    """Thresholds on the distance, one a class."""

    p95: list[float] = Field(description="95th percentile over validation images of the class, [J].")
    p99: list[float] = Field(description="99th percentile over validation images of the class, [J].")


class Metrics(Answer):
    """Figures measured on the test set."""

    dataset: str = Field(description="The data set.")
    images: int = Field(description="Number of test images.")
    errors: int = Field(description="Number classified wrongly.")
    error: float = Field(description="Share classified wrongly, 0 to 1.")
    margin_loss: float = Field(description="Mean margin loss.")
    reconstruction_mse: float = Field(description="Mean squared error of a reconstructed pixel.")
    accepted: float = Field(description="Share of the test images that the guard accepts, 0 to 1.")


class Variant(Answer):
    """One precision of the encoder."""

    encoder: Graph = Field(description="The encoder's graph.")
    guard: Guard = Field(description="Its thresholds.")
    metrics: Metrics | None = Field(description="Its figures, where they were measured.")


class PoseMeaning(Answer):
    """What a pose dimension changes."""

    dim: int = Field(description="Pose dimension, from 0.")
    meaning: str = Field(description="What it changes.")
    score: float = Field(description="How clearly: R squared on images that were held out.")


class Serving(Answer):
    """How this service runs the model."""

    precision: str = Field(description="The variant in use: fp32, fp16 or int8.")
    provider: str = Field(description="The provider of ONNX Runtime that computes.")


class Card(Answer):
    """A model's card, and how it is served."""

    name: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model.")
    config: Config = Field(description="How the network is built.")
    classes: list[str] = Field(description="Names of the classes, by index.")
    input: Input = Field(description="What the network takes.")
    decoder: Graph = Field(description="The decoder's graph.")
    variants: dict[str, Variant] = Field(description="The encoders by precision.")
    export_id: str = Field(description="Id of the export that wrote graphs and card.")
    objects: int = Field(description="How many objects the model looks for in a picture.")
    parameters: dict[str, int] = Field(description="Numbers of trained parameters.")
    pose_meaning: dict[str, list[PoseMeaning]] = Field(
        description="What pose dimensions change, by class, where it is known."
    )
    training: dict[str, Any] = Field(description="Data, command and seed that made the model.")
    serving: Serving = Field(description="How this service runs it.")


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
