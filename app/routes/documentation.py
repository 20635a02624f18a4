"""Parts of the OpenAPI document that the routes share and FastAPI cannot work out by itself."""

from typing import Any

from app.answers import Problem, describe
from app.problems import MEDIA_TYPE
from app.protocol import InferRequest, ProtocolError
from app.routes.bodies import FIELD, MOST_PICTURES, MULTIPART, OCTETS

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

# The body of the route that takes many.
PICTURES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Pictures: each a field `file` of the form, of any format that `/classify` reads.",
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "items": BINARY,
                            "minItems": 1,
                            "maxItems": MOST_PICTURES,
                            "description": "The picture files.",
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

# The body of an inference: JSON, or JSON with bytes behind it.
INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{InferRequest.__name__}"}},
            OCTETS: {
                "schema": {
                    **BINARY,
                    "description": "The JSON, as long as `Inference-Header-Content-Length` says, and the values.",
                }
            },
        },
    }
}
OCTETS_ANSWER: dict[str, Any] = {
    "description": "The tensors: in the JSON or, where it was asked for, behind it. The header "
    "`Inference-Header-Content-Length` then says how long the JSON is.",
    "content": {OCTETS: {"schema": BINARY}},
}

# A second form of an answer.
PNG_ANSWER: dict[str, Any] = {"image/png": {"schema": BINARY}}

REASONS = {
    400: "The body cannot be read, or is not an image.",
    404: "There is no such model.",
    408: "The body took too long to come.",
    413: "More bytes, pixels or items than the service takes.",
    415: "A content type or content encoding that is not read.",
    422: "A parameter outside its bounds.",
    500: "An error inside the service; the log has it under the request's id.",
    503: "The queue is full, the deadline has passed, or the service is not ready; `Retry-After` says when to return.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def protocol_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route of the Open Inference Protocol."""
    return {status: {"description": REASONS[status], "model": ProtocolError} for status in statuses}


PICTURE_PROBLEMS = problems(400, 404, 408, 413, 415, 422, 500, 503)


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add to an OpenAPI document the schema of problems, to which the error answers refer, and the card in words."""
    schemas = document["components"]["schemas"]
    schemas[Problem.__name__] = Problem.model_json_schema()
    request = InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= request.pop("$defs")
    schemas[InferRequest.__name__] = request
    describe(schemas)
    return document
