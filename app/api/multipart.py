"""Parse multipart forms in memory."""

import re
from collections.abc import Callable
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import BadRequest, Problem

FIELD = "file"
MULTIPART = "multipart/form-data"
OCTETS = "application/octet-stream"

# Browsers and other clients write such a form to send one image and nothing else.
PLAIN_TYPE = re.compile(r"multipart/form-data; ?boundary=([A-Za-z0-9'_-]{1,70})")
IMAGE_TYPE = re.compile(rf"image/[a-z0-9.+-]+|{OCTETS}")
PLAIN_HEAD = re.compile(
    rb'\r\nContent-Disposition: form-data; name="file"(?:; filename="[ !#-\[\]-~]*")?'
    rb"(?:\r\nContent-Type: [!-~]+)?\r\n\r\n"
)


def plain_image_file(content_type: str, body: bytes) -> bytes | None:
    """Return the image file in a plain form with that field alone, or in a body of its own; None for any other body."""
    if plain := PLAIN_TYPE.fullmatch(content_type):
        files = plain_files(body, plain[1].encode(), 1) or ()
        return (files[0] or None) if len(files) == 1 else None
    return (body or None) if IMAGE_TYPE.fullmatch(content_type) else None


def plain_files(body: bytes, boundary: bytes, most: int) -> list[bytes] | None:
    """Return the fields `file`, at most `most`, of a plain form with no others; None for any other form.

    The parser calls back for each piece of each header. For a small image it takes longer than all other steps before
    decoding. The parser reads every form that this function leaves to it, or refuses it with a reason.
    """
    # Without a bound, a body of nothing but boundaries makes millions of pieces and blocks the event loop for 0.3 s.
    before, *parts = body.split(b"--" + boundary, most + 1)
    if not boundary or before or len(parts) < 2 or parts.pop() not in (b"--", b"--\r\n"):
        return None
    files = []
    for part in parts:
        head = PLAIN_HEAD.match(part)
        if head is None or head.end() > len(part) - 2 or not part.endswith(b"\r\n"):
            return None
        files.append(part[head.end() : -2])
    return files


class Form:
    """A multipart form, parsed in memory: `fields` is a list of (name, content).

    Raises
    ------
    BadRequest
        If the body is not a complete form.
    Problem
        The one that `excess` returns, at once, if it has more than `most_parts` parts.
    """

    def __init__(self, body: bytes, boundary: bytes, most_parts: int, excess: Callable[[], Problem]) -> None:
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
            raise self._excess()
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
