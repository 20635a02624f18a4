"""A request and its answer as they pass between the server and the application, as pure ASGI.

Everything that concerns every request is done here in one layer: its id, the headers that all answers have, its line in
the log and its count, the bounds on bodies, and clients who leave. Each as a layer of its own cost more together than
the whole of a small request's work (docs/performance.md).
"""

import asyncio
import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import RequestTimeout
from ...observability.request_recorder import RequestRecorder
from ..body_budget import SMALL_BEGINNING, WINDOW_BYTES, WINDOW_S, BodyBudget, declared_length
from ..request_id import choose_request_id
from ..route_names import route_of
from ..security_headers import add_common_headers

# What nginx writes where the client left before it was answered; never sent.
CLIENT_CLOSED_REQUEST = 499

# Seconds between two looks at the exchanges that are open.
TIMEOUT_CHECK_S = 0.05


class RequestContextMiddleware:
    """The outermost layer: makes an `RequestContext` of every request and looks after those that are open.

    Parameters
    ----------
    bodies
        The bytes of all bodies together.
    seconds
        Time for one body to come, from the beginning of its request; then `RequestTimeout`.
    """

    def __init__(self, app: ASGIApp, recorder: RequestRecorder, bodies: BodyBudget, seconds: float) -> None:
        self._app = app
        self._recorder = recorder
        self._bodies = bodies
        self._seconds = seconds
        self._open: set[RequestContext] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = RequestContext(scope, receive, send, self._bodies, self._seconds)
        self._begin(exchange)
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.has_left:
                raise
            exchange.task.uncancel()
        finally:
            self._end(exchange)

    def _begin(self, exchange: "RequestContext") -> None:
        structlog.contextvars.bind_contextvars(request_id=exchange.state["request_id"])
        self._recorder.begin()
        self._open.add(exchange)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TIMEOUT_CHECK_S, self._check_timeouts)

    def _end(self, exchange: "RequestContext") -> None:
        self._open.discard(exchange)
        exchange.close()
        self._recorder.end(
            exchange.method,
            exchange.scope["path"],
            exchange.status,
            time.perf_counter() - exchange.started,
            route=route_of(exchange.scope),
            problem=exchange.state.get("problem"),
            client=exchange.scope.get("client"),
            request_id=exchange.state["request_id"],
            trace_id=exchange.state.get("trace_id", ""),
        )

    def _check_timeouts(self) -> None:
        """One timer for all: to set up and take down one or two for each request took longer than to answer it."""
        now = time.perf_counter()
        for exchange in tuple(self._open):
            exchange.check_timeouts(now)
        again = bool(self._open)
        self._timer = (
            asyncio.get_running_loop().call_later(TIMEOUT_CHECK_S, self._check_timeouts) if again else None
        )


class RequestContext:
    """One request and its answer.

    A HEAD request is handled as GET; the server leaves the body out. A client who leaves has the handling of its
    request cancelled, and what it has in a queue is then dropped. A handler does not learn that its client is gone, so
    a task must listen; most requests are answered sooner than a listener is set up, and only the others get one.
    """

    __slots__ = (
        "_arrived", "_bodies", "_complete", "_expected", "_listener", "_looks", "_overdue", "_receive",
        "_receiving", "_seconds", "_send", "_size", "_size_before", "answered", "has_left", "method", "scope",
        "started", "state", "status", "task",
    )  # fmt: skip

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, bodies: BodyBudget, seconds: float
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # servers run applications in tasks
        self.task = task
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.scope = {**scope, "method": "GET"} if self.method == "HEAD" else scope
        headers = dict(scope["headers"])
        self.state: dict[str, Any] = self.scope.setdefault("state", {})
        self.state["request_id"] = choose_request_id(headers.get(b"x-request-id", b""))
        self.state["exchange"] = self
        self.status = CLIENT_CLOSED_REQUEST
        self.answered = self.has_left = False
        self._receive, self._send = receive, send
        self._bodies, self._seconds = bodies, seconds
        self._expected = declared_length(headers.get(b"content-length", b""))
        self._size = 0
        self._looks = self._size_before = 0  # since the window of the body's rate began, and its size then
        self._complete = self._arrived = self._receiving = False
        self._overdue: RequestTimeout | None = None
        self._listener: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Pass a message of the answer on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.answered = True
            self.status = message["status"]
            add_common_headers(message["headers"], self.state["request_id"])
        await self._send(message)

    async def receive(self) -> Message:
        """Return the next piece of the body, where there is space and time for it.

        Raises
        ------
        QueueFull
            If the bodies of other requests leave no space.
        RequestTimeout
            If it does not come in time.
        """
        if self._complete:  # what comes now is the client's leaving
            return await self._receive()
        self._bodies.reserve(self._expected, self._size)
        self._receiving = True
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self._overdue is None:
                raise
            self.task.uncancel()
            raise self._overdue from None
        finally:
            self._receiving = False
        self._expected = 0  # while the rest comes, the bodies of others may take the space first
        size = len(message.get("body", b""))
        self._size += size
        self._bodies.used += size
        self._complete = not message.get("more_body", False)
        return message

    def check_timeouts(self, now: float) -> None:
        """Give up a body that does not come; begin to listen where an answer takes long."""
        if self._receiving:
            if not self._complete and self._overdue is None:
                self._overdue = self._find_overdue(now)
                if self._overdue is not None:
                    self.task.cancel()
        elif self._complete and not self.answered and self._listener is None:
            if self._arrived:  # it had arrived when last was looked
                self._listener = asyncio.create_task(self._watch_disconnect())
            self._arrived = True

    def _find_overdue(self, now: float) -> RequestTimeout | None:
        """What is to be said of a body that has had its time, or that comes too slowly.

        Looks are counted and not seconds: while the event loop does not turn, nothing can come.
        """
        if now - self.started > self._seconds:
            return RequestTimeout(self._seconds)
        self._looks += 1
        if self._looks * TIMEOUT_CHECK_S < WINDOW_S:
            return None
        slow = self._size > SMALL_BEGINNING and self._size - self._size_before < WINDOW_BYTES
        self._looks, self._size_before = 0, self._size
        return RequestTimeout(WINDOW_S, f"next {WINDOW_BYTES:,} bytes of the body") if slow else None

    def close(self) -> None:
        """The exchange is over."""
        self._overdue = None  # whose traceback would keep the body
        self._bodies.used -= self._size
        self.state.pop("exchange", None)  # a cycle, which would keep the body
        if self._listener is not None:
            self._listener.cancel()

    async def _watch_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.answered:  # who is being answered is told by the server
            self.has_left = True
            self.task.cancel()
