"""Write each call of the service as a request, and read its answer. Knows no connection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import httpx
import orjson

from capsnet import results
from capsnet.client.transport import Call, Parameters
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


def classify(data: bytes, **parameters: Any) -> Call[Classification]:
    """POST /classify."""
    return _picture("/classify", data, _json(results.classification), query(parameters))


def classify_batch(files: Sequence[bytes], **parameters: Any) -> Call[list[Classification | CapsnetError]]:
    """POST /classify/batch."""
    return Call(
        "POST",
        "/classify/batch",
        _json(lambda answers: [_classification_or_problem(each) for each in answers]),
        query(parameters),
        body={"files": [("file", (str(index), data)) for index, data in enumerate(files)]},
    )


def read(data: bytes, **parameters: Any) -> Call[Reading]:
    """POST /read."""
    return _picture("/read", data, _json(results.reading), query(parameters))


def reconstruct(
    data: bytes, moves: Mapping[int, float], directions: Mapping[str, float], **parameters: Any
) -> Call[Reconstruction]:
    """POST /reconstruct."""
    pairs = tuple(pair for dim, delta in moves.items() for pair in (("dim", str(dim)), ("delta", str(delta))))
    pairs += tuple(
        pair for name, amount in directions.items() for pair in (("direction", name), ("amount", str(amount)))
    )
    return _picture("/reconstruct", data, _json(results.reconstruction), query(parameters) + pairs)


def sweep(
    data: bytes, dims: Iterable[int] | None, directions: Iterable[str] | None, **parameters: Any
) -> Call[Sweep]:
    """POST /sweep."""
    listed = {
        name: None if values is None else ",".join(map(str, values))
        for name, values in (("dims", dims), ("directions", directions))
    }
    return _picture("/sweep", data, _json(results.sweep), query({**listed, **parameters}))


def transform(data: bytes, **parameters: Any) -> Call[Transformation]:
    """POST /transform."""
    return _picture("/transform", data, _json(results.transformation), query(parameters))


def explain(data: bytes, **parameters: Any) -> Call[Explanation]:
    """POST /explain."""
    return _picture("/explain", data, _json(results.explanation), query(parameters))


def decode(label: int | str, poses: Iterable[Iterable[float]], model: str | None) -> Call[list[Png]]:
    """POST /decode."""
    rows = [_numbers(pose) for pose in poses]  # of NumPy as well
    asked: dict[str, Any] = {"label": label, "poses": rows} | ({} if model is None else {"model": model})
    return Call(
        "POST",
        "/decode",
        _json(lambda answer: list(map(results.png, answer["images"]))),
        body={"content": orjson.dumps(asked)},
        headers={"Content-Type": "application/json"},
    )


def _numbers(pose: Iterable[float]) -> list[float]:
    """A pose as JSON can hold it; raises TypeError or ValueError."""
    if not isinstance(pose, Iterable):
        raise TypeError(f"poses is a list of poses, each a list of numbers; {pose!r} is none")
    numbers = [float(number) for number in pose]
    if (wrong := next((number for number in numbers if not math.isfinite(number)), None)) is not None:
        raise ValueError(f"a pose holds {wrong}; its numbers must be finite")
    return numbers


def models() -> Call[list[Model]]:
    """GET /models."""
    return Call("GET", "/models", _json(results.models))


def ready() -> Call[bool]:
    """GET /health/ready."""
    return Call("GET", "/health/ready", _json(lambda answer: answer["status"] == "ready"))


def query(parameters: Mapping[str, Any]) -> Parameters:
    """Parameters as they are written in a query string; those that are None are left out."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in parameters.items()
        if value is not None
    )


def _picture(
    path: str, data: bytes, read: Callable[[httpx.Response], Result], parameters: Parameters
) -> Call[Result]:
    return Call("POST", path, read, parameters, {"content": data}, OCTETS)


def _json(read: Callable[[Any], Result]) -> Callable[[httpx.Response], Result]:
    return partial(_read_json, read)


def _read_json(read: Callable[[Any], Result], response: httpx.Response) -> Result:
    return read(orjson.loads(response.content))


def _classification_or_problem(answer: Json) -> Classification | CapsnetError:
    return results.classification(answer) if "predictions" in answer else CapsnetError.from_problem(answer)
