"""Encode answers, for all routes."""

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request, Response

JSON = (b"content-type", b"application/json")


class JsonResponse(Response):
    """A JSON answer that is already encoded; it skips the search for headers that it does not have."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set the two headers that every such answer has."""
        length = str(len(self.body)).encode()
        self.raw_headers = [(b"content-length", length), JSON]


def dump_json(content: Any) -> bytes:
    """Encode content as JSON, NumPy arrays included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json(content: Any) -> Response:
    """Return a JSON answer."""
    return JsonResponse(dump_json(content))


def base64_png(file: bytes) -> str:
    """Return a PNG file in plain base64, as it stands in JSON."""
    return base64.b64encode(file).decode("ascii")


def png(file: bytes) -> Response:
    """Return an answer that is a PNG file."""
    return Response(file, media_type="image/png")


def vary_on_accept(response: Response) -> Response:
    """Tell caches that the answer depends on what the client accepts."""
    response.headers["Vary"] = "Accept"
    return response


PNG_TYPE = ("image", "png")
JSON_TYPE = ("application", "json")


def prefers_png(request: Request) -> bool:
    """Tell whether the `Accept` header ranks image/png above application/json (RFC 9110, 12.5.1).

    At equal quality the more specific range is preferred; `*/*` alone leaves it at JSON.
    """
    ranges = [_parse_media_range(part) for part in ",".join(request.headers.getlist("accept")).split(",")]
    quality, exactness = _preference(ranges, PNG_TYPE)
    return quality > 0 and (quality, exactness) > _preference(ranges, JSON_TYPE)


def _parse_media_range(part: str) -> tuple[str, str, float]:
    """Return one media range as type, subtype and quality; a malformed quality counts as 0."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    kind, _, subtype = media.partition("/")
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return kind, subtype, min(max(float(quality), 0.0), 1.0)
    except ValueError:
        return kind, subtype, 0.0


def _preference(ranges: list[tuple[str, str, float]], media: tuple[str, str]) -> tuple[float, int]:
    """Return the quality of the most specific range that covers `media`, and how specific it is (2 is by name)."""
    exactness, quality = max(
        (
            ((kind != "*") + (subtype != "*"), quality)
            for kind, subtype, quality in ranges
            if (kind, subtype) in (media, (media[0], "*"), ("*", "*"))
        ),
        default=(-1, 0.0),
    )
    return quality, exactness
