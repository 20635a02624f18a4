"""What the routes share: how they reach the service, and how they write answers."""

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response

from app.errors import InvalidParameter, NotReady, quote
from app.schemas import MAX_PERTURBATIONS, REPEATABLE
from app.served import ServedModel
from app.service import Service
from app.settings import Settings

# More parameters than any request can need: pairs of `dim` and `delta`, and a few by themselves.
MOST_PARAMETERS = 2 * MAX_PERTURBATIONS + 16


async def get_service(request: Request) -> Service:
    """The service, while it takes requests."""
    if not request.app.state.open:
        raise NotReady("the service is starting or shutting down")
    service: Service = request.app.state.service
    return service


async def get_settings(request: Request) -> Settings:
    """The settings of this application."""
    settings: Settings = request.app.state.settings
    return settings


OpenService = Annotated[Service, Depends(get_service)]
AppSettings = Annotated[Settings, Depends(get_settings)]


async def refuse_repeats(request: Request) -> None:
    """Refuse a parameter that is given twice where only one of the two could count, and a host of parameters."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if given.total() > MOST_PARAMETERS:
        raise InvalidParameter.of(
            "the query string", f"{given.total()} parameters long", f"at most {MOST_PARAMETERS} are read"
        )
    if twice := next((name for name in given if given[name] > 1 and name not in REPEATABLE), None):
        values = ", ".join(map(repr, request.query_params.getlist(twice)))
        raise InvalidParameter.of(f"query parameter {quote(twice)}", values, "may be given once")


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


def model_fields(served: ServedModel) -> dict[str, str]:
    """The fields that say which model answered."""
    return {"model": served.card.name, "version": served.card.version}


def prediction(served: ServedModel, index: int, length: Any) -> dict[str, Any]:
    """One capsule as `index`, `label` and `length`."""
    return {"index": index, "label": served.card.classes[index], "length": length}


def base64_png(file: bytes) -> str:
    """A PNG file in plain base64, as it stands in JSON."""
    return base64.b64encode(file).decode("ascii")


def png(file: bytes) -> Response:
    """The answer that is a PNG file."""
    return Response(file, media_type="image/png")


def varying(reply: Response) -> Response:
    """Tell caches that the answer depends on what the client accepts."""
    reply.headers["Vary"] = "Accept"
    return reply
