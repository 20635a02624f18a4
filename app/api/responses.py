"""What the routes share: how they reach the service, and how they write answers."""

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request, Response

from ..inference.models import LoadedModel

JSON = (b"content-type", b"application/json")


class JsonResponse(Response):
    """A JSON answer that is written already; made without the search among headers that it does not have."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """The two headers that every such answer has."""
        length = str(len(self.body)).encode()
        self.raw_headers = [(b"content-length", length), JSON]


def as_json(content: Any) -> bytes:
    """JSON; NumPy arrays are written as they are."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def json(content: Any) -> Response:
    """A JSON answer."""
    return JsonResponse(as_json(content))


def model_fields(served: LoadedModel) -> dict[str, str]:
    """The fields that say which model answered."""
    return {"model": served.card.name, "version": served.card.version}


def prediction(served: LoadedModel, index: int, length: Any) -> dict[str, Any]:
    """One capsule as `index`, `label` and `length`."""
    return {"index": index, "label": served.card.classes[index], "length": length}


def base64_png(file: bytes) -> str:
    """A PNG file in plain base64, as it stands in JSON."""
    return base64.b64encode(file).decode("ascii")


def png(file: bytes) -> Response:
    """The answer that is a PNG file."""
    return Response(file, media_type="image/png")


def vary_on_accept(reply: Response) -> Response:
    """Tell caches that the answer depends on what the client accepts."""
    reply.headers["Vary"] = "Accept"
    return reply


PNG_TYPE = ("image", "png")


JSON_TYPE = ("application", "json")


def prefers_png(request: Request) -> bool:
    """Whether the `Accept` header ranks image/png above application/json (RFC 9110, 12.5.1).

    Of two equally wanted the one that is named more exactly counts as preferred; `*/*` alone leaves it at JSON.
    """
    ranges = [_parse_media_range(part) for part in ",".join(request.headers.getlist("accept")).split(",")]
    quality, exactness = _preference(ranges, PNG_TYPE)
    return quality > 0 and (quality, exactness) > _preference(ranges, JSON_TYPE)


def _parse_media_range(part: str) -> tuple[str, str, float]:
    """One media range as type, subtype and quality; one that makes no sense has the quality 0."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    kind, _, subtype = media.partition("/")
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return kind, subtype, min(max(float(quality), 0.0), 1.0)
    except ValueError:
        return kind, subtype, 0.0


def _preference(ranges: list[tuple[str, str, float]], media: tuple[str, str]) -> tuple[float, int]:
    """The quality of the most exact range that covers `media`, and how exact it is (2 is by name)."""
    exactness, quality = max(
        (
            ((kind != "*") + (subtype != "*"), quality)
            for kind, subtype, quality in ranges
            if (kind, subtype) in (media, (media[0], "*"), ("*", "*"))
        ),
        default=(-1, 0.0),
    )
    return quality, exactness
