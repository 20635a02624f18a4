"""Add to the OpenAPI document what the routes share and FastAPI cannot infer."""

from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from .authentication import is_open
from .multipart import FIELD, MULTIPART, OCTETS
from .openapi_examples import add_examples
from .problem_details import MEDIA_TYPE, is_protocol
from .request_body import MOST_FILES
from .schemas.kserve import InferRequest, ProtocolError
from .schemas.responses import Problem

BINARY = {"type": "string", "format": "binary"}

# The body of a route that takes an image file: a form, or the file itself. `request_body` reads it, not FastAPI.
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An image file: PNG, JPEG, WebP, BMP or GIF, and HEIC where its plug-in is installed; its bytes "
        "decide, not its name.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {**BINARY, "description": "The image file."}},
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

# The body of the route that takes several image files.
IMAGES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Image files: each a field `file` of the form, of any format that `/classify` reads.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "items": BINARY,
                            "minItems": 1,
                            "maxItems": MOST_FILES,
                            "description": "The image files.",
                        }
                    },
                    "required": [FIELD],
                    "additionalProperties": False,
                }
            }
        },
    }
}

# The paths of the Open Inference Protocol.
NAME_PARAMETER = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Name of the model.",
    "schema": {"type": "string"},
    "example": "mnist",
}
VERSION_PARAMETER = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "Version of the model: the one in service, see its metadata.",
    "schema": {"type": "string"},
    "example": "1",
}

HEADER_LENGTH = "Inference-Header-Content-Length"
LENGTH_PARAMETER = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "How many bytes of the body are JSON, where values follow it; all of them otherwise.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2_000_000_000},
}

# The body of an inference: JSON, or JSON with bytes behind it.
INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{InferRequest.__name__}"}},
            OCTETS: {
                "schema": {
                    **BINARY,
                    "description": f"The JSON, as long as `{HEADER_LENGTH}` says, and behind it the values.",
                }
            },
        },
    }
}
OCTETS_ANSWER: dict[str, Any] = {
    "description": "The tensors: in the JSON or, where it was asked for, behind it.",
    "headers": {
        HEADER_LENGTH: {
            "description": "How many bytes of the answer are JSON, where values follow it.",
            "schema": {"type": "integer", "minimum": 1},
        }
    },
    "content": {OCTETS: {"schema": BINARY}},
}


def _optional_json(**schema: Any) -> dict[str, Any]:
    """Return the description of a JSON object that may be left out."""
    content = {"application/json": {"schema": {"type": "object", **schema}}}
    return {"requestBody": {"required": False, "content": content}}


# The bodies of the model repository extension; both may be left out.
INDEX_BODY = _optional_json(
    properties={"ready": {"type": "boolean", "description": "Whether only models in service are listed."}}
)
CHANGE_BODY = _optional_json(description="Parameters of the protocol, which are ignored.")

# A second form of an answer.
PNG_ANSWER: dict[str, Any] = {"image/png": {"schema": BINARY}}

# Routes that always need an admin key.
CHANGES = "/v2/repository/models/"
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
    403: "The service has no `CAPSNET_ADMIN_KEYS`, so no client may do this.",
    404: "There is no such model.",
    408: "The request took too long to come.",
    413: "More bytes, pixels or items than the service takes.",
    415: "A content type or content encoding that is not read.",
    422: "A parameter outside its bounds.",
    429: "More requests than one client may send; `Retry-After` says when the next may come.",
    500: "An error inside the service; the log has it under the request's id.",
    503: "The queue is full, the deadline has passed, or the service is not ready; `Retry-After` says when to return.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route; `complete_openapi` adds those of authentication, 401 and 429."""
    return {status: {**_reason(status), "content": _content(MEDIA_TYPE, Problem)} for status in statuses}


def protocol_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route of the Open Inference Protocol."""
    return {status: {**_reason(status), "model": ProtocolError} for status in statuses}


def _reason(status: int) -> dict[str, Any]:
    """Return when an error is answered, and with which headers."""
    later = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}
    return {"description": REASONS[status], **({"headers": later} if status in (429, 503) else {})}


def _content(media_type: str, schema: type[BaseModel]) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}}


IMAGE_PROBLEMS = problems(400, 404, 408, 413, 415, 422, 500, 503)


def operation_id(route: APIRoute) -> str:
    """Return a name for generated clients: that of the route's function, which may stand at a second path."""
    return f"{route.name}_of_version" if "{version}" in route.path else route.name


def complete_openapi(document: dict[str, Any], *, keys: bool, root_path: str | None = None) -> dict[str, Any]:
    """Add to an OpenAPI document the schemas to which bodies and errors refer, the card in words, and examples.

    Each route that is not always open says how a key is sent, and with `keys` that it must be. With `root_path` the
    routes lie below that.
    """
    if root_path:
        document["servers"] = [{"url": root_path}]
    schemas = document["components"]["schemas"]
    schemas[Problem.__name__] = Problem.model_json_schema()
    request = InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= request.pop("$defs")
    schemas[InferRequest.__name__] = request
    for schema in schemas.values():  # of a docstring the first paragraph is for readers of the document
        schema["description"] = schema["description"].partition("\n\n")[0]
    add_examples(document["paths"])
    document["components"]["securitySchemes"] = KEY_SCHEMES
    for path, methods in document["paths"].items():
        if not is_open(path):
            for operation in methods.values():
                _add_authentication(operation, keys or path.startswith(CHANGES), is_protocol(path))
    return document


def _add_authentication(operation: dict[str, Any], keys: bool, protocol: bool) -> None:
    """Document in one operation that it takes a key, and the answers to a missing key and to too many requests."""
    any_scheme: list[dict[str, list[str]]] = [{name: []} for name in KEY_SCHEMES]
    operation["security"] = any_scheme if keys else [{}, *any_scheme]
    content = _content("application/json", ProtocolError) if protocol else _content(MEDIA_TYPE, Problem)
    refusals = {str(status): {**_reason(status), "content": content} for status in (401, 429)}
    operation["responses"] = dict(sorted((operation["responses"] | refusals).items()))
