"""Define the messages of the Open Inference Protocol (KServe V2) with its binary extension. Only routes import this.

The protocol: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ...errors import did_you_mean
from .requests import LONGEST_NAME, refusal
from .responses import Answer

# Parameters that would ask for another answer than the tensors; any other that is not known is ignored.
NOT_OFFERED = ("classification", "shared_memory_region")
MOST_TENSORS = 16
LONGEST_ID = 1000
LARGEST_DIMENSION = 2**31 - 1
# Other fields of a message that are compared with its own.
MOST_OTHERS = 16


def _is_offered(value: Any) -> Any:
    for name in NOT_OFFERED:
        if isinstance(value, dict) and name in value:
            raise PydanticCustomError("not_offered", f"the extension behind '{name}' is not offered")
    return value


class Message(BaseModel):
    """Base of what a client of the protocol sends: other fields, such as `model_name` of KServe's client, are ignored.

    A name that is nearly one of its own is refused, since it is most likely misspelt.
    """

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _refuse_misspelt_names(cls, values: Any) -> Any:
        names = list(values) if isinstance(values, dict) else []
        for name in [name for name in names if name not in cls.model_fields][:MOST_OTHERS]:
            if meant := did_you_mean(name, cls.model_fields):
                raise refusal(repr(name), repr(values[name]), f"no such field{meant}")
        return values


class TensorParameters(BaseModel):
    """Parameters of the binary extension; others are ignored."""

    model_config = ConfigDict(extra="allow", strict=True)


class RequestParameters(TensorParameters):
    """Parameters of a request. Those that are not known here are ignored."""

    binary_data_output: bool = Field(
        False, description="Whether outputs come as bytes where they do not say otherwise themselves."
    )


class InputParameters(TensorParameters):
    """Parameters of an input. Those that are not known here are ignored."""

    binary_data_size: int | None = Field(
        None, ge=0, description="Instead of `data`: how many bytes behind the JSON are this tensor's values."
    )


class OutputParameters(TensorParameters):
    """Parameters of an output. Those that are not known here are ignored."""

    binary_data: bool | None = Field(
        None,
        description="Whether it comes as bytes behind the JSON; otherwise as the request's parameters say.",
    )


# Checked by hand (see `api.kserve_tensors`): a type for every number would be slow.
Values = Annotated[
    list[Any],
    WithJsonSchema(
        {
            "type": "array",
            "items": {"anyOf": [{"type": "number"}, {"type": "array", "items": {}}]},
        }
    ),
]


class InputTensor(Message):
    """A tensor that is sent."""

    name: str = Field(max_length=LONGEST_NAME, description="`image`.", examples=["image"])
    shape: list[Annotated[int, Field(strict=True, ge=0, le=LARGEST_DIMENSION)]] = Field(
        max_length=8,
        fail_fast=True,
        description="[images, channels, height, width]; all but the first as the model's metadata say.",
        examples=[[1, 1, 28, 28]],
    )
    datatype: str = Field(max_length=LONGEST_NAME, description="`FP32`.", examples=["FP32"])
    data: Values | None = Field(
        None,
        description="The values, each from 0 to 1: nested lists of that shape, or one flat list row by row.",
    )
    parameters: Annotated[InputParameters | None, BeforeValidator(_is_offered)] = Field(
        None, description="Says how the values come, where they do not come as `data`."
    )


class OutputRequest(Message):
    """A tensor that is asked for."""

    name: str = Field(
        max_length=LONGEST_NAME, description="`lengths`, `poses` or `reconstruction`.", examples=["lengths"]
    )
    parameters: Annotated[OutputParameters | None, BeforeValidator(_is_offered)] = Field(
        None, description="Says how the values are to come."
    )


class InferRequest(Message):
    """Images in, tensors out."""

    id: str | None = Field(
        None, max_length=LONGEST_ID, description="Given back with the answer.", examples=["a1"]
    )
    parameters: RequestParameters | None = Field(None, description="Says how outputs are to come.")
    inputs: list[InputTensor] = Field(
        min_length=1, max_length=MOST_TENSORS, fail_fast=True, description="The one input, `image`."
    )
    outputs: list[OutputRequest] | None = Field(
        None,
        max_length=MOST_TENSORS,
        fail_fast=True,
        description="The outputs that are wanted, each once; all of them otherwise. Others are not computed.",
    )


class ProtocolError(Answer):
    """An error, as the protocol has it."""

    error: str = Field(description="What was wrong in this request, and which values are allowed.")


class ServerMetadata(Answer):
    """The server."""

    name: str = Field(description="Name of the server.")
    version: str = Field(description="Version of the server.")
    extensions: list[str] = Field(description="Extensions of the protocol that it offers.")


class ServerLive(Answer):
    """The process runs."""

    live: Literal[True] = Field(description="Always true.")


class ServerReady(Answer):
    """All models answer requests."""

    ready: Literal[True] = Field(description="Always true; otherwise the answer is an error with status 503.")


class ModelReady(Answer):
    """The model answers requests."""

    name: str = Field(description="Name of the model.")
    ready: Literal[True] = Field(description="Always true; otherwise the answer is an error with status 503.")


class TensorMetadata(Answer):
    """A tensor that a model takes or gives."""

    name: str = Field(description="Name of the tensor.")
    datatype: Literal["FP32"] = Field(description="Type of its values: 32-bit floating point.")
    shape: list[int] = Field(description="Its dimensions; -1 stands for the number of images.")


class ModelMetadata(Answer):
    """A model, its input and its outputs."""

    name: str = Field(description="Name of the model.")
    versions: list[str] = Field(description="The version in service.")
    platform: Literal["onnx_onnxv1"] = Field(description="Format of its graphs.")
    inputs: list[TensorMetadata] = Field(
        description="`image`: values from 0 to 1, light strokes on dark, made as the card's `preprocess` says."
    )
    outputs: list[TensorMetadata] = Field(
        description="`lengths` of the class capsules, their `poses`, and the `reconstruction` from the longest or "
        "from as many as the model looks for."
    )


class OutputTensor(TensorMetadata):
    """A tensor that was asked for."""

    shape: list[int] = Field(description="Its dimensions, the number of images first.")
    data: list[float] | None = Field(None, description="Its values, row by row.")
    parameters: dict[str, int] | None = Field(
        None,
        description="`binary_data_size` instead of `data`: how many bytes behind the JSON are its values.",
    )


class InferAnswer(Answer):
    """The tensors that were asked for."""

    model_name: str = Field(description="Name of the model.")
    model_version: str = Field(description="Version of the model.")
    id: str | None = Field(None, description="The request's `id`, where it had one.")
    outputs: list[OutputTensor] = Field(description="The outputs, in the order in which they were asked for.")


class IndexEntry(Answer):
    """A model of the repository."""

    name: str = Field(description="Name of the model.")
    version: str = Field(description="Version of the model; empty where its card cannot be read.")
    state: Literal["READY", "UNAVAILABLE"] = Field(description="Whether it is served.")
    reason: str = Field(description="Why it is not served; empty where it is.")


class ModelChanged(Answer):
    """A model that was loaded or unloaded."""

    name: str = Field(description="Name of the model.")
    version: str = Field(description="The version in service; empty where it is unloaded.")
    state: Literal["READY", "UNAVAILABLE"] = Field(description="Whether it is served now.")


class ConfigTensor(Answer):
    """A tensor that a model takes or gives."""

    name: str = Field(description="Name of the tensor.")
    data_type: Literal["TYPE_FP32"] = Field(description="Type of its values: 32-bit floating point.")
    dims: list[int] = Field(description="Its dimensions, without the number of images.")


class ModelConfiguration(Answer):
    """How a model is served, as the model configuration extension has it."""

    name: str = Field(description="Name of the model.")
    platform: Literal["onnxruntime_onnx"] = Field(description="Format of its graphs.")
    backend: Literal["onnxruntime"] = Field(description="What computes it.")
    max_batch_size: int = Field(description="Most images in one batch.")
    input: list[ConfigTensor] = Field(description="`image`.")
    output: list[ConfigTensor] = Field(description="`lengths`, `poses` and `reconstruction`.")
    parameters: dict[str, dict[str, str]] = Field(
        description="Version, architecture, precision and provider, each with its `string_value`."
    )


class Duration(Answer):
    """How often something happened, and how long it took together."""

    count: int = Field(description="How often.")
    ns: int = Field(description="Nanoseconds of all together.")


class InferenceStatistics(Answer):
    """Durations of a model's requests."""

    success: Duration = Field(
        description="Requests done with, also those that failed or expired: their wait and their batches. One of "
        "`/explain` or `/read` may count as two."
    )
    fail: Duration = Field(description="Batches that failed; their time is not known.")
    queue: Duration = Field(description="Waits for a slot.")
    compute_infer: Duration = Field(description="Runs of batches.")


class Statistics(Answer):
    """What a model has done since the start of the service, over all workers."""

    name: str = Field(description="Name of the model.")
    version: str = Field(description="The version in service.")
    inference_count: int = Field(description="Images encoded.")
    execution_count: int = Field(description="Batches run.")
    inference_stats: InferenceStatistics = Field(description="Durations.")


class ModelStatistics(Answer):
    """The statistics extension's answer."""

    model_stats: list[Statistics] = Field(description="One entry: the model that was asked for.")
