"""Drops the work for a client who has left before it was answered, as pure ASGI.

Nobody tells a handler that its client is gone, so somebody has to listen. Most requests are answered sooner than a
listener is set up; only those that take longer get one.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Seconds after its body has come in which a request has no listener yet.
UNWATCHED = 0.05


class Departures:
    """Cancels the handling of a request whose client closes the connection; what it has in a queue is then dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch = _Watch(receive)

        async def receive_and_note() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                watch.begin()
            return message

        async def send_and_note(message: Message) -> None:
            watch.end()  # who is being answered is told by the server
            await send(message)

        try:
            await self._app(scope, receive_and_note, send_and_note)
        except asyncio.CancelledError:
            if not watch.has_left:
                raise
            watch.handler.uncancel()
        finally:
            watch.end()


class _Watch:
    """Listens for one client's leaving, from a moment after `begin` until `end`."""

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # servers run applications in tasks
        self.handler = task
        self.has_left = False
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The body is complete: what comes next is the client's leaving."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(UNWATCHED, self._set_up)

    def end(self) -> None:
        """The answer begins, or there will be none."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()

    def _set_up(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        self.handler.cancel()
