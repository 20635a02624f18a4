"""Write each call of the service as a request, and read its answer. Knows no connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import httpx
import orjson

from capsnet import results
from capsnet.arguments import pose_rows
from capsnet.client.transport import ApiCall, Parameters
from capsnet.errors import CapsnetError
from capsnet.image_encoding import Png
from capsnet.results import (
    Classification,
    Explanation,
    Json,
    Model,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)

Result = TypeVar("Result")

OCTETS = {"Content-Type": "application/octet-stream"}


def classify(data: bytes, **parameters: Any) -> ApiCall[Classification]:
    """Classify an image file: POST /classify."""
    return _image_call("/classify", data, _json(results.classification), query(parameters))


def classify_batch(files: Sequence[bytes], **parameters: Any) -> ApiCall[list[Classification | CapsnetError]]:
    """Classify several image files: POST /classify/batch."""

    def parse(answers: list[Any]) -> list[Classification | CapsnetError]:
        if len(answers) != len(files):
            raise ValueError(f"{len(answers)} answers for {len(files)} images")
        return [_classification_or_problem(each) for each in answers]

    return ApiCall(
        "POST",
        "/classify/batch",
        _json(parse),
        query(parameters),
        body={"files": [("file", (str(index), data)) for index, data in enumerate(files)]},
    )


def read(data: bytes, **parameters: Any) -> ApiCall[Reading]:
    """Read the digits in an image file: POST /read."""
    return _image_call("/read", data, _json(results.reading), query(parameters))


def reconstruct(
    data: bytes, moves: Mapping[int, float], directions: Mapping[str, float], **parameters: Any
) -> ApiCall[Reconstruction]:
    """Draw an image file again: POST /reconstruct."""
    pairs = tuple(pair for dim, delta in moves.items() for pair in (("dim", str(dim)), ("delta", str(delta))))
    pairs += tuple(
        pair for name, amount in directions.items() for pair in (("direction", name), ("amount", str(amount)))
    )
    return _image_call("/reconstruct", data, _json(results.reconstruction), query(parameters) + pairs)


def sweep(
    data: bytes, dims: Iterable[int] | None, directions: Iterable[str] | None, **parameters: Any
) -> ApiCall[Sweep]:
    """Sweep the pose in an image file: POST /sweep."""
    listed = {
        name: None if values is None else ",".join(map(str, values))
        for name, values in (("dims", dims), ("directions", directions))
    }
    return _image_call("/sweep", data, _json(results.sweep), query({**listed, **parameters}))


def transform(data: bytes, **parameters: Any) -> ApiCall[Transformation]:
    """Transform an image file in steps: POST /transform."""
    return _image_call("/transform", data, _json(results.transformation), query(parameters))


def explain(data: bytes, **parameters: Any) -> ApiCall[Explanation]:
    """Explain the class of an image file: POST /explain."""
    return _image_call("/explain", data, _json(results.explanation), query(parameters))


def decode(label: int | str, poses: Iterable[Iterable[float]], model: str | None) -> ApiCall[list[Png]]:
    """Draw bare poses: POST /decode."""
    asked: dict[str, Any] = {"label": label, "poses": pose_rows(poses)} | (
        {} if model is None else {"model": model}
    )
    return ApiCall(
        "POST",
        "/decode",
        _json(lambda answer: list(map(results.decode_png, answer["images"]))),
        body={"content": orjson.dumps(asked, option=orjson.OPT_SERIALIZE_NUMPY)},
        headers={"Content-Type": "application/json"},
    )


def models() -> ApiCall[list[Model]]:
    """List the models: GET /models."""
    return ApiCall("GET", "/models", _json(results.models))


def ready() -> ApiCall[bool]:
    """Ask whether the service is ready: GET /health/ready."""
    return ApiCall("GET", "/health/ready", _json(lambda answer: answer["status"] == "ready"))


def query(parameters: Mapping[str, Any]) -> Parameters:
    """Return parameters as a query string has them; those that are None are left out.

    Raises
    ------
    CapsnetError
        With the kind `invalid-parameter`, if a text is no Unicode, as undecodable bytes of a command line are.
    """
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    for name, text in texts.items():
        if (shown := text.encode("utf-8", "replace").decode()) != text:
            raise CapsnetError(f"{name} is {shown}: should be valid Unicode", kind="invalid-parameter")
    return tuple(texts.items())


def _image_call(
    path: str, data: bytes, read: Callable[[httpx.Response], Result], parameters: Parameters
) -> ApiCall[Result]:
    """Return a call whose body is one image file."""
    return ApiCall("POST", path, read, parameters, {"content": data}, OCTETS)


def _json(read: Callable[[Any], Result]) -> Callable[[httpx.Response], Result]:
    """Return a function that parses the JSON of an answer and passes it to `read`."""
    return partial(_read_json, read)


def _read_json(read: Callable[[Any], Result], response: httpx.Response) -> Result:
    return read(orjson.loads(response.content))


def _classification_or_problem(answer: Json) -> Classification | CapsnetError:
    return results.classification(answer) if "predictions" in answer else CapsnetError.from_problem(answer)
