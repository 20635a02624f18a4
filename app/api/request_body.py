"""Request bodies: read within the limit, and the picture or the JSON in them. Nothing is spooled to disk."""

import re
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from app.bodies import declared_length
from app.errors import BadRequest, InvalidParameter, Problem, TooLarge, UnsupportedMedia, quote

Schema = TypeVar("Schema", bound=BaseModel)

FIELD = "file"
MULTIPART = "multipart/form-data"
OCTETS = "application/octet-stream"

# A form as browsers and other clients write it that send a picture and nothing else.
PLAIN_TYPE = re.compile(r"multipart/form-data; ?boundary=([A-Za-z0-9'_-]{1,70})")
PICTURE_TYPE = re.compile(rf"image/[a-z0-9.+-]+|{OCTETS}")
PLAIN_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="file"(?:; filename="[ !#-\[\]-~]*")?'
    rb"(?:\r\nContent-Type: [!-~]+)?\r\n\r\n"
)

# A form with more parts than these is not read to its end.
MOST_PARTS = 10
MOST_PICTURES = 256


async def read_picture(request: Request, limit: int) -> bytes:
    """The picture file in a body of at most `limit` bytes: the multipart field `file`, or the body itself.

    Raises
    ------
    BadRequest, InvalidParameter, TooLarge, UnsupportedMedia
        If there is no picture to be had; says what was found and what is read.
    """
    if PLAIN_TYPE.fullmatch(content_type := request.headers.get("content-type", "")):
        body = await read_body(request, limit)
        if picture := plain_picture(content_type, body):
            return picture
        return _not_empty(_only_file(body, _content_type(request)[1]))
    media, boundary = _content_type(request)
    if media != MULTIPART and media != OCTETS and not media.startswith("image/"):
        raise UnsupportedMedia(
            f"{_named(media)}; send the picture as the field {FIELD!r} of a {MULTIPART} form, "
            f"or as the body itself with image/* or {OCTETS}"
        )
    body = await read_body(request, limit)
    return _not_empty(_only_file(body, boundary) if media == MULTIPART else body)


def plain_picture(content_type: str, body: bytes) -> bytes | None:
    """The picture file in a plain form with that and nothing else, or in a body of its own; None for any other body."""
    if plain := PLAIN_TYPE.fullmatch(content_type):
        files = plain_files(body, plain[1].encode()) or ()
        return (files[0] or None) if len(files) == 1 else None
    return (body or None) if PICTURE_TYPE.fullmatch(content_type) else None


def plain_files(body: bytes, boundary: bytes) -> list[bytes] | None:
    """The contents of the fields `file` of a form that is plain and has no others; None for any other form.

    The parser calls back for each piece of each header, and so takes longer for this than all else that is done with a
    small picture before it is decoded. Whatever this leaves to the parser is read the same, or refused in words.
    """
    before, *parts = body.split(b"--" + boundary)
    if not boundary or before or len(parts) < 2 or parts.pop() not in (b"--", b"--\r\n"):
        return None
    files = []
    for part in parts:
        head = PLAIN_HEAD.match(part)
        if head is None or head.end() > len(part) - 2 or not part.endswith(b"\r\n"):
            return None
        files.append(part[head.end() : -2])
    return files


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise BadRequest("the picture is empty: 0 bytes")
    return data


async def read_pictures(request: Request, limit: int) -> list[bytes]:
    """The picture files in a form of at most `limit` bytes, each of them a field `file`, in order.

    Raises
    ------
    BadRequest, InvalidParameter, TooLarge, UnsupportedMedia
        If there is none to be had, or more than `MOST_PICTURES`; a file of no bytes is for the decoder to refuse.
    """
    media, boundary = _content_type(request)
    if media != MULTIPART:
        raise UnsupportedMedia(
            f"{_named(media)}; send the pictures as fields {FIELD!r} of a {MULTIPART} form"
        )
    body = await read_body(request, limit)
    files = plain_files(body, boundary)
    if files is not None and len(files) <= MOST_PICTURES:
        return files
    excess = TooLarge(f"the form has more than {MOST_PICTURES} parts; send the pictures in several requests")
    form = Form(body, boundary, MOST_PICTURES, excess)
    _refuse_other_fields(form)
    return [content for _, content in form.fields]


async def read_json(request: Request, limit: int, schema: type[Schema]) -> Schema:
    """The JSON in a body of at most `limit` bytes, validated.

    On the event loop: the parser holds Python's lock, so all would wait for a thread just as long. That the wait is
    short is a matter of the limit, and of schemas whose lists fail at their first wrong element.

    Raises
    ------
    RequestValidationError, TooLarge, UnsupportedMedia
        If it is not JSON, or not what the schema allows.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":
        raise UnsupportedMedia(f"{_named(kind.decode('latin-1'))}; send application/json")
    return validate_json(await read_body(request, limit), schema)


def validate_json(body: bytes, schema: type[Schema]) -> Schema:
    """JSON as the schema has it; raises RequestValidationError."""
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        details: list[Any] = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(details) from None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; refused before it is read where its length is declared, and at the first byte too many.

    Raises
    ------
    TooLarge
        If it is longer than `limit`.
    UnsupportedMedia
        If it is compressed: what it would grow to is unknown.
    """
    headers = request.headers
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMedia(f"the content encoding is {quote(encoding)}; send the body as it is")
    if (declared := declared_length(headers.get("content-length", "").encode("latin-1"))) > limit:
        raise TooLarge(f"the body has {declared} bytes; at most {limit} are read")
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
            raise TooLarge(f"the body has more than the {limit} bytes that are read")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _content_type(request: Request) -> tuple[str, bytes]:
    """The content type without its parameters, and the boundary among these."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    return kind.decode("latin-1"), options.get(b"boundary", b"")


def _named(media: str) -> str:
    return f"the content type is {quote(media)}" if media else "the content type is missing"


def _only_file(body: bytes, boundary: bytes) -> bytes:
    """The content of the field `file`, which must be the form's only field."""
    excess = BadRequest(f"the form has more than {MOST_PARTS} parts; one, {FIELD!r}, is read")
    form = Form(body, boundary, MOST_PARTS, excess)
    if (count := [name for name, _ in form.fields].count(FIELD)) > 1:
        raise InvalidParameter.of(
            f"field {FIELD!r}",
            f"given {count} times",
            "send one picture at a time, or several to /classify/batch",
        )
    _refuse_other_fields(form)
    return form.fields[0][1]


def _refuse_other_fields(form: "Form") -> None:
    """See that a form has the field `file` and no other."""
    names = [name for name, _ in form.fields]
    if FIELD not in names:
        found = f"it has {', '.join(map(quote, names))}" if names else "it is empty"
        raise BadRequest(f"the form has no field {FIELD!r} with the picture; {found}")
    if other := next((name for name in names if name != FIELD), None):
        raise InvalidParameter.of(
            f"field {other!r}", "in the form", "parameters belong in the query string, as in ?name=value"
        )


class Form:
    """A multipart form, parsed in memory: `fields` is a list of (name, content).

    Raises
    ------
    BadRequest
        If the body is not a complete form.
    Problem
        `excess`, at once, if it has more than `most_parts` parts.
    """

    def __init__(self, body: bytes, boundary: bytes, most_parts: int, excess: Problem) -> None:
        self.fields: list[tuple[str, bytes]] = []
        self._most_parts, self._excess = most_parts, excess
        self._header, self._value = b"", b""
        self._name: str | None = None
        self._content: list[bytes] = []
        self._complete = False
        if not boundary:
            raise BadRequest(f"the content type {MULTIPART} needs a boundary")
        try:
            MultipartParser(boundary, self._callbacks()).write(body)
        except FormParserError as error:
            raise BadRequest(f"the form is malformed: {error}") from None
        if not self._complete:
            raise BadRequest("the form ends before its closing boundary")

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._content.append(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        if len(self.fields) == self._most_parts:
            raise self._excess
        self._name, self._content = None, []

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if (name := options.get(b"name")) is not None:
                self._name = name.decode("utf-8", "replace")
        self._header, self._value = b"", b""

    def _end_part(self) -> None:
        if self._name is None:
            raise BadRequest("a part of the form has no name in its Content-Disposition")
        self.fields.append((self._name, b"".join(self._content)))

    def _end(self) -> None:
        self._complete = True
