"""Content negotiation: JSON unless a client prefers a PNG."""

from fastapi import Request

PNG = ("image", "png")
JSON = ("application", "json")


def prefers_png(request: Request) -> bool:
    """Whether the `Accept` header ranks image/png above application/json (RFC 9110, 12.5.1).

    Of two equally wanted the one that is named more exactly counts as preferred; `*/*` alone leaves it at JSON.
    """
    ranges = [_parse(part) for part in ",".join(request.headers.getlist("accept")).split(",")]
    quality, exactness = _preference(ranges, PNG)
    return quality > 0 and (quality, exactness) > _preference(ranges, JSON)


def _parse(part: str) -> tuple[str, str, float]:
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
