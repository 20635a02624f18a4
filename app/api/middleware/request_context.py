"""Follow a request and its answer between the server and the application, as pure ASGI.

One layer does all that every request needs: its id, the common headers, its log line and metrics, the limits on bodies,
and clients that disconnect. One layer for each would take longer than the rest of a small request
(docs/performance.md).
"""

import asyncio
import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import RequestTimeout
from ...observability.request_recorder import RequestRecorder
from ..body_budget import SMALL_BEGINNING_BYTES, WINDOW_BYTES, WINDOW_S, BodyBudget, declared_length
from ..request_id import choose_request_id
from ..route_names import route_of
from ..security_headers import add_common_headers

# nginx logs this status where the client left before the answer; it is never sent.
CLIENT_CLOSED_REQUEST = 499

# Seconds between two checks of the open requests.
TIMEOUT_CHECK_S = 0.05


class RequestContextMiddleware:
    """The outermost layer: makes a `RequestContext` of every request, and checks the open ones.

    Parameters
    ----------
    bodies
        The bytes of all bodies together.
    seconds
        Time for one body, from the beginning of its request; then `RequestTimeout`.
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
        context = RequestContext(scope, receive, send, self._bodies, self._seconds)
        self._begin(context)
        try:
            await self._app(context.scope, context.receive, context.send)
        except asyncio.CancelledError:
            if not context.has_left:
                raise
            context.task.uncancel()
        finally:
            self._end(context)

    def _begin(self, context: "RequestContext") -> None:
        structlog.contextvars.bind_contextvars(request_id=context.state["request_id"])
        self._recorder.begin()
        self._open.add(context)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TIMEOUT_CHECK_S, self._check_timeouts)

    def _end(self, context: "RequestContext") -> None:
        self._open.discard(context)
        context.close()
        self._recorder.end(
            context.method,
            context.scope["path"],
            context.status,
            time.perf_counter() - context.started,
            route=route_of(context.scope),
            problem=context.state.get("problem"),
            client=context.scope.get("client"),
            request_id=context.state["request_id"],
            trace_id=context.state.get("trace_id", ""),
        )

    def _check_timeouts(self) -> None:
        """Check all open requests with one timer: one or two timers a request took longer than its answer."""
        now = time.perf_counter()
        for context in tuple(self._open):
            context.check_timeouts(now)
        self._timer = None
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(TIMEOUT_CHECK_S, self._check_timeouts)


class RequestContext:
    """One request and its answer.

    A HEAD request is handled as GET; the server leaves the body out. When the client disconnects, its request is
    cancelled, and its items in a queue are dropped. A handler does not learn of the disconnect, so a task must listen
    for it. Most requests are answered sooner than a listener is set up, and only the others get one.
    """

    __slots__ = (
        "_arrived", "_bodies", "_checks", "_complete", "_expected", "_listener", "_overdue", "_receive",
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
        self.state["context"] = self
        self.status = CLIENT_CLOSED_REQUEST
        self.answered = self.has_left = False
        self._receive, self._send = receive, send
        self._bodies, self._seconds = bodies, seconds
        self._expected = declared_length(headers.get(b"content-length", b""))
        self._size = 0
        self._checks = self._size_before = 0  # in this window of the body's rate; size at its start
        self._complete = self._arrived = self._receiving = False
        self._overdue: RequestTimeout | None = None
        self._listener: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.answered = True
            self.status = message["status"]
            add_common_headers(message["headers"], self.state["request_id"])
        await self._send(message)

    async def receive(self) -> Message:
        """Return the next piece of the body, where space and time for it are left.

        Raises
        ------
        QueueFull
            If the bodies of other requests leave no space.
        RequestTimeout
            If it does not come in time.
        """
        if self._complete:  # the next message is the disconnect of the client
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
        """Give up a body that does not come; start a listener where an answer takes long."""
        if self._receiving:
            if not self._complete and self._overdue is None:
                self._overdue = self._find_overdue(now)
                if self._overdue is not None:
                    self.task.cancel()
        elif self._complete and not self.answered and self._listener is None:
            if self._arrived:  # already at the last check
                self._listener = asyncio.create_task(self._watch_disconnect())
            self._arrived = True

    def _find_overdue(self, now: float) -> RequestTimeout | None:
        """Return the problem of a body that has had its time, or that comes too slowly; else None.

        It counts checks and not seconds: while the event loop is blocked, no byte can come.
        """
        if now - self.started > self._seconds:
            return RequestTimeout(self._seconds)
        self._checks += 1
        if self._checks * TIMEOUT_CHECK_S < WINDOW_S:
            return None
        slow = self._size > SMALL_BEGINNING_BYTES and self._size - self._size_before < WINDOW_BYTES
        self._checks, self._size_before = 0, self._size
        return RequestTimeout(WINDOW_S, f"next {WINDOW_BYTES:,} bytes of the body") if slow else None

    def close(self) -> None:
        """Release the bytes of the body, and stop the listener."""
        self._overdue = None  # whose traceback would keep the body
        self._bodies.used -= self._size
        self.state.pop("context", None)  # a cycle, which would keep the body
        if self._listener is not None:
            self._listener.cancel()

    async def _watch_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.answered:  # else the server tells the application
            self.has_left = True
            self.task.cancel()
