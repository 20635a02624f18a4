"""Read request bodies within the limit, and the image files or the JSON in them. Nothing goes to disk."""

import codecs
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from ..errors import BadRequest, ContentTooLarge, InvalidParameter, Problem, UnsupportedMedia, quote
from .body_budget import declared_length
from .multipart import FIELD, MULTIPART, OCTETS, PLAIN_TYPE, Form, plain_files, plain_image_file

Schema = TypeVar("Schema", bound=BaseModel)

# A form with more parts than these is not read to its end.
MOST_PARTS = 10
MOST_FILES = 256


async def read_image_file(request: Request, limit: int) -> bytes:
    """Read the image file in a body of at most `limit` bytes: the multipart field `file`, or the body itself.

    Raises
    ------
    BadRequest, InvalidParameter, ContentTooLarge, UnsupportedMedia
        If it holds no image file; says what was found and which formats are read.
    """
    if PLAIN_TYPE.fullmatch(content_type := request.headers.get("content-type", "")):
        body = await read_body(request, limit)
        if image_file := plain_image_file(content_type, body):
            return image_file
        return _not_empty(_only_file(body, _content_type(request)[1]))
    media, boundary = _content_type(request)
    if media != MULTIPART and media != OCTETS and not media.startswith("image/"):
        raise UnsupportedMedia(
            f"{_named(media)}; send the image as the field {FIELD!r} of a {MULTIPART} form, "
            f"or as the body itself with image/* or {OCTETS}"
        )
    body = await read_body(request, limit)
    return _not_empty(_only_file(body, boundary) if media == MULTIPART else body)


def _too_many_files() -> Problem:
    return ContentTooLarge(f"the form has more than {MOST_FILES} parts; send the images in several requests")


def _too_many_parts() -> Problem:
    return BadRequest(f"the form has more than {MOST_PARTS} parts; one, {FIELD!r}, is read")


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadRequest("the image file is empty: 0 bytes")
    return data


async def read_image_files(request: Request, limit: int) -> list[bytes]:
    """Read the image files in a form of at most `limit` bytes, each a field `file`, in order.

    Raises
    ------
    BadRequest, InvalidParameter, ContentTooLarge, UnsupportedMedia
        If there is none, or more than `MOST_FILES`. The decoder refuses an empty file.
    """
    media, boundary = _content_type(request)
    if media != MULTIPART:
        raise UnsupportedMedia(f"{_named(media)}; send the images as fields {FIELD!r} of a {MULTIPART} form")
    body = await read_body(request, limit)
    files = plain_files(body, boundary, MOST_FILES)
    if files is not None:
        return files
    form = Form(body, boundary, MOST_FILES, _too_many_files)
    _refuse_other_fields(form)
    return [content for _, content in form.fields]


async def read_json(request: Request, limit: int, schema: type[Schema]) -> Schema:
    """Read and validate the JSON in a body of at most `limit` bytes.

    It runs on the event loop: the parser holds the GIL, so a thread would block the others just as long. The limit
    keeps that short, and so do schemas whose lists fail at their first wrong element.

    Raises
    ------
    RequestValidationError, ContentTooLarge, UnsupportedMedia
        If it is not JSON, or not what the schema allows.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":
        raise UnsupportedMedia(f"{_named(kind.decode('latin-1'))}; send application/json")
    return validate_json(await read_body(request, limit), schema)


def validate_json(body: bytes, schema: type[Schema]) -> Schema:
    """Validate JSON, also behind a byte-order mark; raises RequestValidationError."""
    try:
        return schema.model_validate_json(body.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        details: list[Any] = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(details) from None


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body; refuse a declared length above the limit at once, else the first byte above it.

    Raises
    ------
    ContentTooLarge
        If it is longer than `limit`.
    UnsupportedMedia
        If it is compressed: its size in memory would be unknown.
    """
    headers = request.headers
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMedia(f"the content encoding is {quote(encoding)}; send the body as it is")
    if (declared := declared_length(headers.get("content-length", "").encode("latin-1"))) > limit:
        raise ContentTooLarge(f"the body has {declared} bytes; at most {limit} are read")
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(chunks[-1])
        if size > limit:
            raise ContentTooLarge(f"the body has more than the {limit} bytes that are read")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _content_type(request: Request) -> tuple[str, bytes]:
    """Return the content type without its parameters, and the boundary among these."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    return kind.decode("latin-1"), options.get(b"boundary", b"")


def _named(media: str) -> str:
    return f"the content type is {quote(media)}" if media else "the content type is missing"


def _only_file(body: bytes, boundary: bytes) -> bytes:
    """Return the content of the field `file`, which must be the form's only field."""
    form = Form(body, boundary, MOST_PARTS, _too_many_parts)
    if (count := [name for name, _ in form.fields].count(FIELD)) > 1:
        raise InvalidParameter.of(
            f"field {FIELD!r}",
            f"given {count} times",
            "send one image at a time, or several to /classify/batch",
        )
    _refuse_other_fields(form)
    return form.fields[0][1]


def _refuse_other_fields(form: Form) -> None:
    """Check that a form has the field `file` and no other; raises BadRequest, InvalidParameter."""
    names = [name for name, _ in form.fields]
    if FIELD not in names:
        found = f"it has {', '.join(map(quote, names))}" if names else "it is empty"
        raise BadRequest(f"the form has no field {FIELD!r} with the image; {found}")
    if other := next((name for name in names if name != FIELD), None):
        raise InvalidParameter.of(
            f"field {other!r}", "in the form", "parameters belong in the query string, as in ?name=value"
        )
