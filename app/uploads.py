"""Bounds the bodies of all requests together, as pure ASGI: bytes in memory, and the time that one may take to come."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import QueueFull, TooSlow


class Uploads:
    """Counts the bytes of bodies from their arrival until their requests are answered.

    Bytes that have come are counted and not lengths that were declared: to take the room of others a client must send.

    Parameters
    ----------
    limit
        Bytes of bodies. A body whose declared length finds no room is refused with `QueueFull` before any of it is
        read, and beyond the limit no more is read of any body.
    seconds
        Time for one body, from the beginning of its request; then `TooSlow`.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        give_up = asyncio.get_running_loop().time() + self._seconds
        declared = Headers(scope=scope).get("content-length", "")
        expected = int(declared) if declared.isdecimal() else 0
        size, complete = 0, False

        async def receive_bounded() -> Message:
            nonlocal size, complete, expected
            if complete:  # what comes now is the client's leaving
                return await receive()
            message = await self._receive_before(give_up, expected, receive)
            expected = 0  # while it comes, what others send may find room first
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            self._held += len(message.get("body", b""))
            return message

        try:
            await self._app(scope, receive_bounded, send)
        finally:
            self._held -= size

    async def _receive_before(self, give_up: float, expected: int, receive: Receive) -> Message:
        """The next piece of a body, where there is room and time for it."""
        if self._held + expected > self._limit:
            raise QueueFull(
                f"the bodies of other requests fill the {self._limit} bytes that there are for them"
            )
        try:
            async with asyncio.timeout_at(give_up):
                return await receive()
        except TimeoutError:
            raise TooSlow(self._seconds) from None
