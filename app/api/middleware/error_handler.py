"""Answer errors that no other layer has handled."""

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import NotReady
from .. import problem_details


class ErrorMiddleware:
    """Answers with a problem where an error passed all other layers and nothing was answered yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = scope["state"]["context"]
        # No variable may keep an exception: its traceback has this frame, and that cycle would keep the body.
        try:
            await self._app(scope, receive, send)
            return
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if context.has_left:
                raise
            # The server's graceful timeout is over.
            response = await problem_details.problem_response(
                Request(scope), NotReady("the service is shutting down")
            )
        except Exception as error:  # noqa: BLE001  # nothing else would answer
            response = await problem_details.problem_response(Request(scope), error)
        if not context.answered:
            await response(scope, receive, send)
