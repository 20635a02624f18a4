"""Turn any error into a response: `application/problem+json` (RFC 9457). No other module does that."""

import reprlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..errors import (
    LONGEST_ECHO,
    BadRequest,
    InvalidParameter,
    MethodNotAllowed,
    Problem,
    UnknownRoute,
    Violation,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# Writes a value that a client sent, shortened to the length that is shown.
excerpt = reprlib.Repr()
excerpt.maxlist = excerpt.maxdict = LONGEST_ECHO // 3
excerpt.maxstring = excerpt.maxlong = 2 * LONGEST_ECHO

TYPE_PREFIX = "urn:problem-type:capsnet:"

# Prefix of the routes of the Open Inference Protocol.
PROTOCOL = "/v2"

# Texts of rules for which pydantic's text does not name the allowed values.
RULES = {"bool_parsing": "should be true or false", "bool_type": "should be true or false"}

# Python's words for these values, and JSON's.
JSON_WORDS = {"None": "null", "True": "true", "False": "false"}

# More violations than these help no client.
MOST_VIOLATIONS = 10


async def problem_response(request: Request, error: Exception) -> Response:
    """Return the response for any error."""
    problem = as_problem(request, error)
    request.state.problem = problem.kind  # for the metrics
    path, request_id = instance(request), request.scope.get("state", {}).get("request_id", "")
    body, media_type = encode_problem(problem, path, request_id)
    return Response(body, problem.status, problem.headers, media_type)


def instance(request: Request) -> str:
    """Return the path of a request as a URI reference, as RFC 9457 has it."""
    return quote(request.scope["path"], safe="/:@!$&'()*+,;=~")


def is_protocol(path: str) -> bool:
    """Tell whether errors below a path have the form of the Open Inference Protocol."""
    return path == PROTOCOL or path.startswith(f"{PROTOCOL}/")


def describe(request: Request, problem: Problem) -> dict[str, Any]:
    """Return the fields of the problem with a request."""
    return problem_fields(problem, instance(request), request.scope.get("state", {}).get("request_id", ""))


def problem_fields(problem: Problem, path: str, request_id: str) -> dict[str, Any]:
    """Return the fields of a problem, as RFC 9457 has them."""
    body: dict[str, Any] = {
        "type": f"{TYPE_PREFIX}{problem.kind}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = problem.errors
    return body


def encode_problem(problem: Problem, path: str, request_id: str) -> tuple[bytes, str]:
    """Return the body of the answer for a problem at a path, and its content type."""
    if is_protocol(path):
        return orjson.dumps({"error": problem.detail}), "application/json"
    return orjson.dumps(problem_fields(problem, path, request_id)), MEDIA_TYPE


def problem_headers(problem: Problem, length: int, media_type: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a problem's answer as bytes, for a body of so many bytes."""
    more = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [(b"content-length", b"%d" % length), (b"content-type", media_type.encode()), *more]


def as_problem(request: Request, error: Exception) -> Problem:
    """Return the problem for an error; an unexpected one is logged, and its problem tells nothing of it."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return explain(error.errors())
    if isinstance(error, HTTPException) and error.status_code == 404:
        return UnknownRoute(request.url.path, request.app.openapi()["paths"])
    if isinstance(error, HTTPException) and error.status_code == 405:
        return MethodNotAllowed(
            request.url.path, request.method, _with_head((error.headers or {}).get("Allow", ""))
        )
    return internal_error(request.url.path, error)


def internal_error(path: str, error: Exception) -> Problem:
    """Log an unexpected error, and return its answer."""
    log.error("unexpected error", path=path, exc_info=error)
    return Problem("the request failed inside the service; the log has it under its request_id")


def _with_head(allowed: str) -> str:
    """Return the allowed methods, with HEAD wherever there is GET."""
    methods = set(allowed.split(", "))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def explain(errors: Sequence[Any]) -> Problem:
    """Return errors of pydantic as one problem that names parameter, value and allowed values."""
    if broken := next((error for error in errors if error["type"] == "json_invalid"), None):
        reason = broken.get("ctx", {}).get("error", broken["msg"])
        return BadRequest(f"the body is not JSON: {reason}")
    violations = [_violation(error) for error in errors[:MOST_VIOLATIONS]]
    problem = InvalidParameter(*violations)
    if (more := len(errors) - len(violations)) > 0:
        problem.detail += f"; and {more} more"
    return problem


def _violation(error: Any) -> Violation:
    place, *path = error["loc"]
    kind = "query parameter" if place == "query" else "field"
    context = error.get("ctx", {})
    if error["type"] == "refused":
        name, value = context["parameter"], context["value"]
    elif kind == "query parameter":
        name, value = f"'{path[0]}'", excerpt.repr(error["input"])
    else:
        value = excerpt.repr(error["input"])
        name, value = f"'{_dotted(path)}'", JSON_WORDS.get(value, value)
    if error["type"] == "missing":
        return Violation(parameter=f"{kind} {name}", value="missing", allowed="it is required")
    rule = RULES.get(error["type"], error["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    return Violation(parameter=f"{kind} {name}", value=value, allowed=rule[:1].lower() + rule[1:])


def _dotted(path: Sequence[str | int]) -> str:
    """Return a path such as ("poses", 3, 0) as "poses[3][0]"."""
    return (
        "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "body"
    )
