"""Compress answers with gzip, where the client accepts that.

Starlette's GZipMiddleware would compress an answer each time, and also small ones that never come again.
"""

import functools
import gzip

from fastapi import Request, Response

# A shorter answer fits into one packet of the network either way.
LEAST_BYTES = 1400
# A file that gzip makes hardly smaller, such as a PNG, is sent as it is.
LARGEST_SHARE = 0.9
# Contents whose compressed form is kept: all files of the playground, and the last lists of models.
KEPT_CONTENTS = 128


def compress(request: Request, response: Response) -> Response:
    """Compress the body of an answer where that saves bytes and the client accepts gzip; tell caches so.

    The compressed form is remembered, so this is for contents that many clients ask for.
    """
    packed = gzipped(bytes(response.body))
    if packed is None:
        return response
    response.headers.add_vary_header("Accept-Encoding")
    if accepts_gzip(",".join(request.headers.getlist("accept-encoding"))):
        response.body = packed
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(packed))
    return response


@functools.lru_cache(KEPT_CONTENTS)
def gzipped(content: bytes) -> bytes | None:
    """Return the content in gzip, the same for the same content; None where that saves less than a tenth."""
    if len(content) < LEAST_BYTES:
        return None
    packed = gzip.compress(content, 9, mtime=0)
    return packed if len(packed) <= LARGEST_SHARE * len(content) else None


def accepts_gzip(header: str) -> bool:
    """Tell whether an `Accept-Encoding` header allows gzip (RFC 9110, 12.5.3); a missing one asks for no encoding."""
    qualities = dict(map(_parse_coding, header.lower().split(",")))
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _parse_coding(part: str) -> tuple[str, float]:
    """Return one coding and its quality; a malformed quality counts as 0."""
    coding, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return coding, float(quality)
    except ValueError:
        return coding, 0.0
