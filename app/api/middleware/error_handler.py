"""A last resort for errors, as pure ASGI."""

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import NotReady
from .. import problem_details


class ErrorMiddleware:
    """Answers with a problem where an error got past everything else and nothing was answered yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope["state"]["exchange"]
        error: Exception
        try:
            await self._app(scope, receive, send)
            return
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if exchange.has_left:
                raise
            error = NotReady("the service is shutting down")  # the grace that the server gives is over
        except Exception as unforeseen:  # noqa: BLE001  # nobody else would answer
            error = unforeseen
        response = await problem_details.respond(Request(scope), error)
        if not exchange.answered:
            await response(scope, receive, send)
