"""One connection: uvicorn's, with the short refusal and the fast path before it."""

import asyncio
import sys
from collections.abc import Callable

import structlog
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import MalformedRequest, Problem, RequestTimeout
from .fast_path import FastPath, PictureRequest, Reply
from .http_head import answer, read_head, without_upgrade
from .load_shedding import Refusals

log = structlog.get_logger(__name__)

# Seconds for a last look at a connection that is to be closed because nothing came: any will do.
LAST_LOOK = 0.01

# Seconds that the rest of a request has to come before it takes the long way, where it has all its time.
PATIENCE = 0.05

DECLARES_BODY = (b"content-length", b"transfer-encoding")


class UpgradeError(Exception):
    """A request whose body the parser would take for one in another protocol, and then for the next request."""

    def __str__(self) -> str:
        return "the request has a body and offers to go on in another protocol, which is not spoken here"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which looks at the bytes of a request itself before uvicorn's parser has any of them.

    A request may be refused from them (`load_shedding`) or take the fast path (`fast_path`); until that is known its
    beginning is kept here. Whatever is neither goes to the parser from its first byte on.

    What its client has sent and is not answered counts as arrived, but not where the client itself is what is waited
    for: many that never read an answer would fill the house, and nobody would be in it.
    """

    refusals: Refusals
    fast: FastPath
    head_seconds: float  # in which the head of a request must come
    watchers: list[Callable[[], None]]  # are told that there is one connection more, or less
    _between = True  # the parser has no part of a request
    _in_head = False  # it has the beginning of one
    _overdue: asyncio.TimerHandle | None = None  # the end of the time for the rest of it
    _counted = False
    _in_line = False
    leaving = False  # of all connections of a server: each answer is the last one on its connection
    _ends = False  # after the answers that are owed
    _task: asyncio.Task[None] | None = None  # answers a request on the fast path
    _behind = b""  # came meanwhile
    _begun = b""  # the beginning of a request that may take the fast path
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The beginning."""
        super().connection_made(transport)
        self._rest()
        for watcher in self.watchers:
            watcher()

    def data_received(self, data: bytes) -> None:
        """Take what has come, or have it stand in line."""
        if self._task is not None:
            self._behind += data
            self.transport.pause_reading()
        elif self._begun:
            self._let_in(self._begun + data)
        elif self._is_free() and self.refusals.puts_off(self, data):
            self._in_line = True
            self._unset_keepalive_if_required()
            self.transport.pause_reading()
        else:
            self._let_in(data)

    def go_on(self, data: bytes) -> None:
        """Refuse what stood in line, or let it in."""
        self._in_line = False
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        refused, last = None, self._is_last()
        if self._is_free():
            refused = self.refusals.answer(data, self.client, self._headers(last=last))
        if refused is None:
            self._let_in(data)
        else:
            self._write(refused, last=last)

    def _let_in(self, data: bytes) -> None:
        """Answer on the fast path what may take it, and leave all else to uvicorn.

        Many clients send head and body one after the other, so a body has a moment to come.
        """
        head = read_head(data) if self._is_free() else None
        if head is not None and self.fast.may_take(head):
            missing = head.size + head.length - len(data)
            if missing > 0:
                self._wait_for_more(data)
                return
            # More than that is the next request, and the parser knows best where it begins.
            request = self.fast.read(head, data[head.size :]) if missing == 0 else None
            if request is not None:
                self._begin(request)
                return
        self._pass_on(data)

    def _wait_for_more(self, data: bytes) -> None:
        self._begun = data
        if self._patience is None:
            self._unset_keepalive_if_required()
            self._patience = self.loop.call_later(PATIENCE, self._wait_no_longer)

    def _wait_no_longer(self) -> None:
        self._pass_on(self._begun)

    def _stop_waiting(self) -> None:
        self._begun = b""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _pass_on(self, data: bytes) -> None:
        """Leave what has come to uvicorn."""
        self._stop_waiting()
        super().data_received(without_upgrade(data) if self._between else data)
        if self.leaving and self._between and self.cycle is not None:
            self.cycle.keep_alive = False
        self._watch_head()
        if self._ends:
            super().shutdown()

    def _watch_head(self) -> None:
        """Have the head of a request an end, however its bytes drip; blank lines before it are part of it."""
        waits = self._in_head or (self._is_free() and not self.transport.is_closing())
        if not waits and self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        elif waits and self._overdue is None:
            self._overdue = self.loop.call_later(self.head_seconds, self._end_of_head)

    def _end_of_head(self) -> None:
        self._overdue = None
        if not self._is_answered():  # it came behind another request, whose answer is not yet written
            self._watch_head()
        elif self._in_head:
            self._refuse(RequestTimeout(self.head_seconds, "head of the request"))
        elif self.timeout_keep_alive_task is None:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say what the parser found no HTTP in, as every other error is said."""
        found = sys.exception()
        own = found and found.__context__
        self._refuse(MalformedRequest(str(own if isinstance(own, UpgradeError) else found or msg)))

    def _refuse(self, problem: Problem) -> None:
        """Answer what is no whole request, and close."""
        self.transport.write(self.refusals.refuse(problem, self.client, self.server_state.default_headers))
        self.transport.close()

    def _begin(self, request: PictureRequest) -> None:
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._task = self.loop.create_task(self._answer(request))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)
        self._count()

    async def _answer(self, request: PictureRequest) -> None:
        try:
            self._finish(await self.fast.reply(request, self.client, self.transport.is_closing))
        except Exception:
            log.exception("an answer could not be written")
            self.transport.close()  # a client must not wait for what will never come

    def _finish(self, reply: Reply) -> None:
        self._task = None
        self._count()
        last = self._is_last()
        headers = [*self._headers(last=last), *reply.headers]
        self._write(answer(reply.status, reply.identity, headers, reply.body), last=last)

    def _write(self, data: bytes, *, last: bool) -> None:
        """Write a whole answer, and turn to what comes next."""
        self.transport.write(data)
        self.server_state.total_requests += 1
        if self._behind:
            behind, self._behind = self._behind, b""
            self.transport.resume_reading()
            self.data_received(behind)
        elif last:
            self.transport.close()
        else:
            self._rest()

    def _is_last(self) -> bool:
        """Whether the answer that is written now is the last one here.

        Asked once an answer: a signal can come between any two lines, and what was not said must not be done.
        """
        return (self._ends or self.leaving) and not self._behind

    def _headers(self, *, last: bool) -> list[tuple[bytes, bytes]]:
        """What the server adds to an answer; the last one says so, or its client would send one more in vain."""
        headers = self.server_state.default_headers
        return [*headers, (b"connection", b"close")] if last else headers

    def _rest(self) -> None:
        """Wait for a next request, but not for ever."""
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def shutdown(self) -> None:
        """The server ends: close where nothing is owed, else after the answers that are."""
        if self._task is not None or self._in_line:
            self._ends = True
        elif self._begun:
            self._ends = True
            self._pass_on(self._begun)
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for a while, or it has and nobody looked: timers come before sockets in a turn of the loop.

        So the sockets have one more turn; a request that is found there takes this back.
        """
        self.timeout_keep_alive_task = self.loop.call_later(LAST_LOOK, super().timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._between, self._in_head = False, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The end of a request's head."""
        self._in_head = False
        if self.parser.should_upgrade() and any(name in DECLARES_BODY for name, _ in self.headers):
            raise UpgradeError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request's last byte."""
        super().on_message_complete()
        self._between = True
        self._count()

    def on_response_complete(self) -> None:
        """An answer's last byte; of requests that came one behind the other, not the last one's."""
        self._count()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._count()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._count()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        super().connection_lost(exc)
        self._stop_waiting()
        for timer in (self._overdue, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._count(lost=True)
        for watcher in self.watchers:
            watcher()

    def _is_free(self) -> bool:
        """Whether a request begins here and nothing is owed for those before it."""
        return self._between and self._is_answered() and not self.flow.write_paused

    def _is_answered(self) -> bool:
        """Whether nothing is owed for what was read so far."""
        return self._task is None and (self.cycle is None or self.cycle.response_complete)

    def _count(self, *, lost: bool = False) -> None:
        """Have a whole request counted as long as its answer is waited for."""
        waits = self._between and not self._is_answered() and not self.flow.write_paused and not lost
        self.refusals.arrived += waits - self._counted
        self._counted = waits


def connection(app: FastAPI, head_seconds: float) -> type[Connection]:
    """The class of the connections of a server of this application."""
    own = {"refusals": Refusals(app), "fast": FastPath(app), "head_seconds": head_seconds, "watchers": []}
    return type("Connection", (Connection,), own)
