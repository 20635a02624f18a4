"""Authenticate a request and apply its rate limit, before any of its body is read."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import Problem
from ..authentication import Authenticator, is_open
from ..route_names import path_of


class AuthMiddleware:
    """Asks the authenticator about each request, but for those to open paths.

    Raises
    ------
    TooManyRequests, Unauthorized
        In place of the answer.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(path_of(scope)):
            await self._app(scope, receive, send)
            return
        headers = await self._authenticator.authenticate(Headers(scope=scope).get, scope.get("client"))

        async def send_with_rate(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(headers)
            await send(message)

        try:
            await self._app(scope, receive, send_with_rate if headers else send)
        except Problem as problem:  # a layer further out answers with it
            problem.with_headers(headers)
            raise
