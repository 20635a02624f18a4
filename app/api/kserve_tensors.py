"""Read and write the tensors of the Open Inference Protocol: values in JSON, or as bytes behind it.

Legend: B images, C channels, H height, W width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from fastapi.exceptions import RequestValidationError

from capsnet.card import IMAGE

from ..errors import BadRequest, ContentTooLarge, did_you_mean, quote
from ..inference.models import LoadedModel
from ..inference.tensors import OUTPUTS
from ..inference.types import Floats
from .multipart import OCTETS
from .openapi import HEADER_LENGTH
from .problem_details import explain
from .request_body import validate_json
from .schemas.kserve import InferRequest, InputTensor

DATATYPE = "FP32"
WIRE = np.dtype("<f4")

# Parsing JSON blocks the event loop and takes thirty times its size in memory; for more images a client sends bytes.
MOST_JSON_IMAGES = 64


@dataclass(frozen=True)
class InferInput:
    """A request: images (B,C,H,W), and the requested outputs, each with whether it goes out as bytes."""

    id: str | None
    images: Floats
    outputs: dict[str, bool]


def max_json_bytes(shape: tuple[int, int, int]) -> int:
    """Return the bytes of the longest request in JSON: `MOST_JSON_IMAGES` images (C,H,W), 32 bytes a number."""
    return MOST_JSON_IMAGES * math.prod(shape) * 32 + 65_536


def header_length(given: str | None, body: bytes) -> int:
    """Return how many bytes of a body are JSON: as many as the header says, all without it; raises BadRequest."""
    if given is None:
        return len(body)
    if not (given.isascii() and given.isdecimal() and len(given) < 12 and int(given) <= len(body)):
        raise BadRequest(
            f"{HEADER_LENGTH} is {quote(given)}; should be the bytes of JSON that begin the body of {len(body)} bytes"
        )
    return int(given)


def parse(body: bytes, json_bytes: int, shape: tuple[int, int, int]) -> InferInput:
    """Read a request whose body begins with `json_bytes` of JSON, for a model that takes images of `shape` (C,H,W).

    Raises
    ------
    BadRequest, ContentTooLarge
        If it does not fit the protocol or the model; names the tensor, what was found and the allowed values.
    """
    if json_bytes > (most := max_json_bytes(shape)):
        raise ContentTooLarge(
            f"the JSON has {json_bytes} bytes; at most {most} are read, send the values as bytes"
        )
    try:
        request = validate_json(body[:json_bytes], InferRequest)
    except RequestValidationError as error:
        problem = explain(error.errors())
        if isinstance(problem, BadRequest) and json_bytes == len(body):
            problem.detail += (
                f"; where bytes follow the JSON, the header {HEADER_LENGTH} says how long that is"
            )
        raise BadRequest(problem.detail) from None
    tensor = _only_image(request.inputs)
    _check_type(tensor, shape)
    images = _values(tensor, memoryview(body)[json_bytes:])
    with np.errstate(invalid="ignore"):
        if not (images.min() >= 0 and images.max() <= 1):  # also where one of them is not a number
            raise BadRequest(f"input {IMAGE!r} holds values outside 0 to 1, or such that are not finite")
    return InferInput(request.id, images, _requested_outputs(request))


def encode_response(served: LoadedModel, asked: InferInput, tensors: Mapping[str, Floats]) -> Response:
    """Return the answer with the requested tensors."""
    outputs, pieces = [], []
    for name, as_bytes in asked.outputs.items():
        tensor = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": DATATYPE, "shape": tensor.shape}
        if as_bytes:
            pieces.append(tensor.astype(WIRE, copy=False).tobytes())
            output["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            output["data"] = tensor.ravel()
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": served.card.name, "model_version": served.card.version}
    if asked.id is not None:
        answer["id"] = asked.id
    header = orjson.dumps({**answer, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not pieces:
        return Response(header, media_type="application/json")
    return Response(b"".join((header, *pieces)), headers={HEADER_LENGTH: str(len(header))}, media_type=OCTETS)


def _only_image(inputs: Sequence[InputTensor]) -> InputTensor:
    """Return the input `image`, which must be the only one; raises BadRequest."""
    if other := next((tensor.name for tensor in inputs if tensor.name != IMAGE), None):
        raise BadRequest(
            f"there is no input {quote(other)}{did_you_mean(other, [IMAGE])}; {IMAGE!r} is taken"
        )
    if len(inputs) != 1:
        raise BadRequest(f"input {IMAGE!r} is given {len(inputs)} times; it may be given once")
    return inputs[0]


def _check_type(tensor: InputTensor, shape: tuple[int, int, int]) -> None:
    """Check that the tensor's type and shape are the model's; raises BadRequest."""
    if tensor.datatype != DATATYPE:
        raise BadRequest(f"input {IMAGE!r} has the datatype {quote(tensor.datatype)}; should be {DATATYPE!r}")
    if tuple(tensor.shape[1:]) != shape or not tensor.shape[0]:
        raise BadRequest(
            f"input {IMAGE!r} has the shape {tensor.shape}; should be {[-1, *shape]}, where -1 is one or more"
        )


def _values(tensor: InputTensor, behind: memoryview) -> Floats:
    """Return the values of a tensor, (B,C,H,W): those in the JSON, or else the bytes behind it; raises BadRequest."""
    size = tensor.parameters.binary_data_size if tensor.parameters else None
    if (size is None) == (tensor.data is None):
        given = "both 'data' and" if tensor.data is not None else "neither 'data' nor"
        raise BadRequest(
            f"input {IMAGE!r} has {given} the parameter 'binary_data_size'; one of them is needed"
        )
    if len(behind) != (size or 0):
        raise BadRequest(f"{len(behind)} bytes follow the JSON; {size or 0} are announced in it")
    expected = math.prod(tensor.shape)
    if size is None:
        return _from_json(tensor.data or [], tensor.shape, expected)
    if size != WIRE.itemsize * expected:
        raise BadRequest(
            f"input {IMAGE!r} has {size} bytes; the shape {tensor.shape} needs {WIRE.itemsize * expected}"
        )
    return np.frombuffer(behind, WIRE).reshape(tensor.shape)


def _from_json(data: list[Any], shape: list[int], expected: int) -> Floats:
    """Convert a flat list, or nested lists of exactly that shape, to an array; raises BadRequest."""
    values = _flatten(data, shape) if data and isinstance(data[0], list) else data
    if len(values) != expected:
        raise BadRequest(f"input {IMAGE!r} has {len(values)} values; the shape {shape} needs {expected}")
    if others := set(map(type, values)) - {int, float}:
        raise BadRequest(
            f"input {IMAGE!r} holds {min(kind.__name__ for kind in others)}; only numbers are taken"
        )
    try:
        with np.errstate(over="ignore"):  # too large a number becomes infinite, and is refused as such
            return np.array(values, np.float32).reshape(shape)
    except OverflowError:
        raise BadRequest(f"input {IMAGE!r} holds a number that no float can hold") from None


def _flatten(data: list[Any], shape: list[int]) -> list[Any]:
    """Flatten nested lists row by row; raises BadRequest where they do not have that shape."""
    level = [data]
    for axis, size in enumerate(shape):
        if wrong := next((row for row in level if not isinstance(row, list) or len(row) != size), None):
            found = f"a list of {len(wrong)}" if isinstance(wrong, list) else f"a {type(wrong).__name__}"
            raise BadRequest(
                f"input {IMAGE!r} has {found} in its dimension {axis}; the shape {shape} needs lists of {size}"
            )
        level = list(chain.from_iterable(level))
    return level


def _requested_outputs(request: InferRequest) -> dict[str, bool]:
    """Return the requested outputs, each with whether it is wanted as bytes; raises BadRequest."""
    by_default = bool(request.parameters and request.parameters.binary_data_output)
    if not request.outputs:
        return dict.fromkeys(OUTPUTS, by_default)
    wanted: dict[str, bool] = {}
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise BadRequest(
                f"there is no output {quote(output.name)}{did_you_mean(output.name, OUTPUTS)}; "
                f"there are {', '.join(OUTPUTS)}"
            )
        if output.name in wanted:
            raise BadRequest(f"output {output.name!r} is asked for twice; once is enough")
        said = output.parameters.binary_data if output.parameters else None
        wanted[output.name] = by_default if said is None else said
    return wanted
