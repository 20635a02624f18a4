"""What happens round every request, as pure ASGI: its id, its line in the log, its count, a last resort for errors."""

import asyncio
import functools
import re
import time
import uuid

import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.errors import NotReady
from app.metrics import Metrics
from app.security import path_of

log = structlog.get_logger("app.access")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

# What nginx writes where the client left before it was answered; never sent.
CLIENT_CLOSED_REQUEST = 499


# The route of a request that none was found for.
UNMATCHED = "unmatched"


class RequestContext:
    """Gives every request an id, every answer the same in `X-Request-ID`, the log a line, and counts it.

    A HEAD request is handled as GET; the server leaves the body out.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope)
        inner = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
        inner["method"] = "GET" if scope["method"] == "HEAD" else scope["method"]
        status = CLIENT_CLOSED_REQUEST

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(raw=message["headers"])["X-Request-ID"] = request_id
            await send(message)

        self._metrics.begin()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(inner, receive, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                state = inner["state"]
                self._metrics.end(scope["method"], route_of(inner), status, seconds, state.get("problem"))
                _log_access(inner, scope["method"], status, seconds)


class LastResort:
    """Answers with a problem where an error got past everything else and nothing was answered yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def send_and_note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        error: Exception
        try:
            await self._app(scope, receive, send_and_note)
            return
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the grace that the server gives at its end is over
            error = NotReady("the service is shutting down")
        except Exception as unforeseen:  # noqa: BLE001  # nobody else would answer
            error = unforeseen
        response = await problems.respond(Request(scope), error)
        if not answered:
            await response(scope, receive, send)


def request_id_of(scope: Scope) -> str:
    """The client's `X-Request-ID` where it is sane, else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if SANE_ID.fullmatch(given) else uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """The template of the route that a request took or, refused before that, would have taken: `/models/{name}`.

    Whatever is asked for, there are no more of these than routes.
    """
    if (route := scope.get("route")) is not None:
        return str(route.path)
    path = path_of(scope)
    templates = _templates(scope["app"])
    return next((template for regex, template in templates if regex.match(path)), UNMATCHED)


@functools.lru_cache(maxsize=1)
def _templates(app: FastAPI) -> list[tuple[re.Pattern[str], str]]:
    return [(route.path_regex, str(route.path)) for route in iter_route_contexts(app.routes)]


def _log_access(scope: Scope, method: str, status: int, seconds: float) -> None:
    traced = {"trace_id": trace_id} if (trace_id := scope["state"].get("trace_id")) else {}
    log.info(
        "request",
        method=method,
        path=scope["path"],
        status=status,
        duration_ms=round(seconds * 1000, 2),
        client=scope["client"][0] if scope.get("client") else "",
        **traced,
    )
