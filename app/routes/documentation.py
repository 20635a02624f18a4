"""Parts of the OpenAPI document that the routes share and FastAPI cannot work out by itself."""

from typing import Any

from app.answers import Problem, describe
from app.problems import MEDIA_TYPE
from app.routes.bodies import FIELD, MULTIPART, OCTETS
from app.security import is_open

BINARY = {"type": "string", "format": "binary"}

# The body of a route that takes a picture: a form, or the file itself. The body is read by hand (see `bodies`).
PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture: PNG, JPEG, WebP, BMP or GIF, and HEIC where its plug-in is installed; its bytes "
        "decide, not its name.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {**BINARY, "description": "The picture file."}},
                    "required": [FIELD],
                    "additionalProperties": False,
                }
            },
            "image/png": {"schema": BINARY},
            "image/jpeg": {"schema": BINARY},
            OCTETS: {"schema": BINARY},
        },
    }
}

# A second form of an answer.
PNG_ANSWER: dict[str, Any] = {"image/png": {"schema": BINARY}}

# The two ways to send a key.
KEY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key in `Authorization: Bearer KEY`, where the service asks for one.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key in `X-API-Key: KEY`, where the service asks for one.",
    },
}

REASONS = {
    400: "The body cannot be read, or is not an image.",
    401: "The service asks for a key, and none or a wrong one was sent; `WWW-Authenticate` says how to send it.",
    404: "There is no such model.",
    408: "The body took too long to come.",
    413: "More bytes, pixels or items than the service takes.",
    415: "A content type or content encoding that is not read.",
    422: "A parameter outside its bounds.",
    429: "More requests than one client may send; `Retry-After` says when the next may come.",
    500: "An error inside the service; the log has it under the request's id.",
    503: "The queue is full, the deadline has passed, or the service is not ready; `Retry-After` says when to return.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, but for those of the door, 401 and 429, which `complete` adds."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


PICTURE_PROBLEMS = problems(400, 404, 408, 413, 415, 422, 500, 503)


def complete(document: dict[str, Any], *, keys: bool) -> dict[str, Any]:
    """Add to an OpenAPI document the schema of problems, to which the error answers refer, and the card in words.

    Each route that is not open to everybody says how a key is sent, and with `keys` that it must be.
    """
    schemas = document["components"]["schemas"]
    schemas[Problem.__name__] = Problem.model_json_schema()
    describe(schemas)
    document["components"]["securitySchemes"] = KEY_SCHEMES
    for path, methods in document["paths"].items():
        if not is_open(path):
            for operation in methods.values():
                _add_door(operation, keys)
    return document


def _add_door(operation: dict[str, Any], keys: bool) -> None:
    """Say of one operation that it takes a key, and what is answered without one and to too many requests.

    The words are those of `REASONS`, in the form that the operation's other errors have.
    """
    any_scheme: list[dict[str, list[str]]] = [{name: []} for name in KEY_SCHEMES]
    operation["security"] = any_scheme if keys else [{}, *any_scheme]
    responses = operation["responses"]
    content = next(answer["content"] for status, answer in responses.items() if status >= "400")
    refusals = {str(status): {"description": REASONS[status], "content": content} for status in (401, 429)}
    operation["responses"] = dict(sorted((responses | refusals).items()))
