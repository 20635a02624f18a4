"""Handle one HTTP connection: uvicorn's protocol, with limits and the fast path before its parser.

uvicorn bounds no head: 100 MB of header lines took 3 GB of memory, and probes waited for 7 s. Here a head or a trailer
ends at 64 KB, takes 20 MB at most and has a deadline, and pipelined requests are not read before their turn
(docs/log/security.md, 2). The limits go when uvicorn has them, and the rest with the fast path.
"""

import asyncio
import re
from collections.abc import Callable

import httptools
import structlog
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..api import problem_details
from ..api.request_id import choose_request_id
from ..api.route_names import UNMATCHED
from ..api.state import state_of
from ..errors import HeadTooLarge, MalformedRequest, Problem, RequestTimeout
from .client_transport import ClientTransport
from .fast_path import FastPath, ImageRequest, Reply
from .http_head import Address, encode_response, read_head, without_upgrade

log = structlog.get_logger(__name__)

# Bytes of the head of one request, its URL included, and bytes of its trailers.
MAX_HEAD_BYTES = 65_536

# Most bytes that the parser gets at a time: of a body, and where heads may come. Each head that it finds takes some
# kilobytes of memory, and a head may have only 18 bytes.
BODY_PIECE_BYTES = 65_536
HEAD_PIECE_BYTES = 4_096

# The system's prefix for the IPv4 address of a client on a socket for IPv6 and IPv4.
IPV4_MAPPED = "::ffff:"

# Delay before an idle connection is closed: one more turn of the loop, so any value will do.
LAST_READ_S = 0.01

# Seconds to wait for the rest of a request before it takes the normal path, which has longer timeouts.
FAST_PATH_WAIT_S = 0.05

DECLARES_BODY = (b"content-length", b"transfer-encoding")

# The beginning of a head; the parser refuses anything else at once.
METHOD = re.compile(rb"[A-Z]{1,20}(?: |\Z)")


class UpgradeError(Exception):
    """A request with a body that offers another protocol: the parser would take the body for that protocol's."""

    def __str__(self) -> str:
        return "the request has a body and offers to go on in another protocol, which is not spoken here"


class EarlyRefusal:
    """Answers bytes that are no whole request: a head that is too long, too late, or not HTTP.

    No application has seen such bytes. So this adds the common headers, and records the request itself.
    """

    def __init__(self, app: FastAPI) -> None:
        self._recorder = state_of(app).recorder

    def write(self, problem: Problem, client: Address | None, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer; `headers` are those that the server adds to every answer."""
        identity = choose_request_id(b"")
        self._recorder.begin()
        self._recorder.end(
            "-",
            "-",
            problem.status,
            0.0,
            route=UNMATCHED,
            problem=problem.kind,
            client=client,
            request_id=identity,
        )
        body, media_type = problem_details.encode_problem(problem, "", identity)
        more = problem_details.problem_headers(problem, len(body), media_type)
        return encode_response(problem.status, identity, [*headers, *more], body)


class CapsnetProtocol(HttpToolsProtocol):
    """uvicorn's connection, which sees the bytes of a request before uvicorn's parser does.

    A request may be answered on the fast path (`fast_path`). Until that is known, its beginning is kept here. All
    others go to the parser from their first byte.
    """

    early_refusal: EarlyRefusal
    fast: FastPath
    head_seconds: float  # in which the head of a request must come, and the rest of a body after the answer
    on_connections_changed: list[Callable[[asyncio.BaseProtocol], None]]
    transport: ClientTransport
    draining = False  # of all connections of a server: each answer is the last one on its connection
    _between = True  # the parser has no part of a request
    _in_head = False  # it has the beginning of one
    _in_trailers = False  # it has the last chunk of a body, or the size of a chunk and none of its bytes
    _line_bytes = 0  # of the present head or trailers
    _began = False  # the present head or trailers, within the present piece
    _deadline: asyncio.TimerHandle | None = None  # of the rest of a head
    _body_deadline: asyncio.TimerHandle | None = None  # of the rest of a body that is answered already
    _ends = False  # closes after the due answers
    _task: asyncio.Task[None] | None = None  # answers a request on the fast path
    _pipelined = b""  # bytes that came during an answer, or behind pipelined requests that wait
    _body_left = 0  # bytes of the body that the parser waits for, where its length was declared
    _partial = b""  # the beginning of a request
    _wait: asyncio.TimerHandle | None = None
    _refused = False  # nothing more is read
    _refusal: Problem | None = None  # to write after the due answers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(ClientTransport(transport, self.loop, self._may_send))
        if self.client is not None and self.client[0].startswith(IPV4_MAPPED):
            self.client = (self.client[0].removeprefix(IPV4_MAPPED), self.client[1])
        self._arm_keep_alive()
        for tell in self.on_connections_changed:
            tell(self)

    def _may_send(self) -> bool:
        """Tell whether the client may be sending bytes that will not be read."""
        return self._refused or not self._between or bool(self._partial or self._pipelined)

    def data_received(self, data: bytes) -> None:
        """Handle bytes that have arrived."""
        if self.transport.lingers or self._refused:
            self.transport.discard(len(data))
        elif self._task is not None or self.pipeline or self._pipelined:
            self._hold(data)
        elif self._partial:
            self._dispatch(self._partial + data)
        else:
            self._dispatch(data)

    def _dispatch(self, data: bytes) -> None:
        """Start the fast path for a request that may take it, and forward all else to uvicorn's parser.

        Many clients send head and body separately, so it waits for the body for FAST_PATH_WAIT_S. An incomplete head is
        kept: its treatment must not depend on how the network has split it.
        """
        head = read_head(data) if self._is_free() else None
        if head is not None and self.fast.may_take(head):
            missing = head.size + head.length - len(data)
            if missing > 0:
                self._wait_for_more(data)
                return
            # More bytes than that are the next request, and only the parser finds its beginning reliably.
            request = self.fast.read(head, data[head.size :]) if missing == 0 else None
            if request is not None:
                self._start_fast_path(request)
                return
        if self._between and _is_too_long(data):
            self._unset_keepalive_if_required()
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
        elif self._between and head is None and _is_part_of_head(data):
            self._keep_head(data)
        else:
            self._forward_to_parser(data)

    def _wait_for_more(self, data: bytes) -> None:
        """Wait a moment for the body of a request whose head is whole."""
        self._partial = data
        self._stop_head_deadline()
        if self._wait is None:
            self._unset_keepalive_if_required()
            self._wait = self.loop.call_later(FAST_PATH_WAIT_S, self._wait_no_longer)

    def _wait_no_longer(self) -> None:
        self._forward_to_parser(self._partial)

    def _stop_waiting(self) -> None:
        self._partial = b""
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None

    def _keep_head(self, data: bytes) -> None:
        """Keep the beginning of a head until the rest comes."""
        self._partial = data
        self._unset_keepalive_if_required()
        self._watch_head()

    def _forward_to_parser(self, data: bytes) -> None:
        """Forward bytes to uvicorn's parser, in pieces."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        if self._between:
            data = without_upgrade(data)
        start = 0
        while start < len(data):
            if self.pipeline:
                self._hold(data[start:])
                break
            end = start + max(HEAD_PIECE_BYTES, min(BODY_PIECE_BYTES, self._body_left))
            self._feed(data[start:end])
            if self._refused or self.parser is None:
                return
            start = end
        self._watch_head()
        if self._pipelined:
            return
        if self.draining and self._between and self.cycle is not None:
            self.cycle.keep_alive = False
        if self._ends:
            super().shutdown()

    def _hold(self, data: bytes) -> None:
        """Keep bytes, and read no more, until the requests before them are answered.

        uvicorn reads on while pipelined requests wait, and one connection could bring thousands of them a second.
        """
        self._pipelined += data
        self.transport.hold()

    def _take_held(self) -> None:
        held, self._pipelined = self._pipelined, b""
        self.transport.release()
        self.data_received(held)

    def _feed(self, data: bytes) -> None:
        """Give bytes to the parser, and count those of heads and trailers."""
        in_lines = self._in_head or self._in_trailers
        self._began = False
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            own = error.__context__
            self._refuse(MalformedRequest(str(own if isinstance(own, UpgradeError) else error)))
            return
        if not (self._in_head or self._in_trailers):
            self._line_bytes = 0
        elif in_lines and not self._began:
            self._line_bytes += len(data)
            if self._line_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(MAX_HEAD_BYTES))

    def _parse(self, data: bytes) -> None:
        """Give bytes to the parser; where a request without a body offers another protocol, go on in HTTP behind it."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = data[max(1, *offer.args) :]

    def _should_upgrade(self) -> bool:
        return False

    def _watch_head(self) -> None:
        """Set a deadline for the head of a request, however slowly it comes; blank lines before it are part of it."""
        waits = self._in_head or (self._is_free() and not self.transport.is_closing())
        if not waits:
            self._stop_head_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._end_of_head)

    def _stop_head_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_of_head(self) -> None:
        self._deadline = None
        if not self._is_answered():  # it came behind another request that is not answered yet
            self._watch_head()
        elif self._in_head or self._partial:
            self._refuse(RequestTimeout(self.head_seconds, "head of the request"))
        elif self.timeout_keep_alive_task is None:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer bytes that are no whole request, after the answers that are due, and close."""
        if self._refused:
            return
        own = not self._between and not self._in_head  # the request has been handed to the application
        self._refused = True
        self._stop_waiting()
        if own and self.cycle.response_started:
            self.transport.close()
            return
        waits = own and bool(self.pipeline)  # the application has it behind another request
        if own:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if waits:
            self.pipeline.popleft()
        if waits or self.pipeline or not (own or self._is_answered()):
            self._refusal = problem
        else:
            self._write_refusal(problem)

    def _write_refusal(self, problem: Problem) -> None:
        self.transport.write(
            self.early_refusal.write(problem, self.client, self.server_state.default_headers)
        )
        self.transport.close()

    def _start_fast_path(self, request: ImageRequest) -> None:
        self._stop_waiting()
        self._stop_head_deadline()
        self._unset_keepalive_if_required()
        self._task = self.loop.create_task(self._answer(request))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    async def _answer(self, request: ImageRequest) -> None:
        try:
            self._finish(await self.fast.reply(request, self.client, self.transport.is_closing))
        except Exception:
            log.exception("an answer could not be written")
            self.transport.close()  # else the client would wait for ever

    def _finish(self, reply: Reply) -> None:
        self._task = None
        last = self._is_last()
        headers = [*self._headers(last=last), *reply.headers]
        self._write(encode_response(reply.status, reply.identity, headers, reply.body), last=last)

    def _write(self, data: bytes, *, last: bool) -> None:
        """Write a whole answer, and go on with the next request."""
        self.transport.write(data)
        self.server_state.total_requests += 1
        if self._pipelined:
            self._take_held()
        elif last:
            self.transport.close()
        else:
            self._arm_keep_alive()

    def _is_last(self) -> bool:
        """Tell whether the answer that is written now is the last one here.

        Called once an answer: a signal can come between any two lines, and only an announced close may happen.
        """
        return (self._ends or self.draining) and not self._pipelined

    def _headers(self, *, last: bool) -> list[tuple[bytes, bytes]]:
        """Return the server's headers for an answer; the last answer announces the close."""
        headers = self.server_state.default_headers
        return [*headers, (b"connection", b"close")] if last else headers

    def _arm_keep_alive(self) -> None:
        """Wait for a next request, until the keep-alive timeout."""
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def shutdown(self) -> None:
        """Close where no answer is due, else after the due answers: the server ends."""
        if self.transport.lingers:
            self.transport.close_now()
        elif self._task is not None or self._pipelined:
            self._ends = True
        elif self._partial:
            self._ends = True
            self._forward_to_parser(self._partial)
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection after one more turn of the loop.

        In each turn the loop runs timers before sockets. A request that is found in the next turn cancels the close.
        """
        self.timeout_keep_alive_task = self.loop.call_later(LAST_READ_S, super().timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Note a request's first byte."""
        self._between, self._in_head = False, True
        self._line_bytes, self._began = 0, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; ignore a trailer, whatever its name (RFC 9110, section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note the end of a request's head; where that fails, the application has nothing of the request."""
        if self.parser.should_upgrade() and any(name in DECLARES_BODY for name, _ in self.headers):
            raise UpgradeError
        declared = next((value for name, value in self.headers if name == b"content-length"), b"")
        self._body_left = int(declared.lstrip(b"0") or b"0")  # Python converts no number of 5,000 zeros
        super().on_headers_complete()
        self._in_head = False

    def on_chunk_header(self) -> None:
        """Note the size of a chunk: after the last one come no bytes, only trailers."""
        self._in_trailers = True
        self._line_bytes, self._began = 0, True

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body to the application."""
        self._in_trailers = False
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note a request's last byte."""
        super().on_message_complete()
        self._between, self._in_trailers, self._body_left = True, False, 0
        self._stop_body_deadline()

    def on_response_complete(self) -> None:
        """Note an answer's last byte; of pipelined requests, not the last one's."""
        last = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is not None:
            if last:
                self._unset_keepalive_if_required()
                self._write_refusal(self._refusal)
        elif self._is_answered() and not self._between and not self._in_head and self._body_deadline is None:
            self._body_deadline = self.loop.call_later(self.head_seconds, self.transport.abort)
        if self._pipelined and not self.pipeline and not self._refused:
            self._take_held()

    def _stop_body_deadline(self) -> None:
        if self._body_deadline is not None:
            self._body_deadline.cancel()
            self._body_deadline = None

    def pause_writing(self) -> None:
        """Stop writing, because the client does not read; abort if that lasts too long."""
        super().pause_writing()
        self.transport.watch_reader()

    def resume_writing(self) -> None:
        """Write again."""
        super().resume_writing()
        self.transport.note_progress()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers and tasks of this connection."""
        super().connection_lost(exc)
        self.transport.forget()
        self._stop_waiting()
        self._stop_body_deadline()
        for timer in (self._deadline, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
            self._task = None  # whose exception has a traceback, which has this connection
        for tell in self.on_connections_changed:
            tell(self)

    def _is_free(self) -> bool:
        """Tell whether a request begins here and no answer is due for earlier ones."""
        return self._between and self._is_answered() and not self.flow.write_paused

    def _is_answered(self) -> bool:
        """Tell whether no answer is due for what was read so far."""
        return self._task is None and (self.cycle is None or self.cycle.response_complete)


def _is_part_of_head(data: bytes) -> bool:
    """Tell whether bytes begin a head in well-formed lines, and are not yet all of it."""
    return (
        b"\r\n\r\n" not in data
        and METHOD.match(data) is not None
        and data.count(b"\n") == data.count(b"\r\n")
    )


def _is_too_long(data: bytes) -> bool:
    """Tell whether bytes begin a head that does not end within its limit."""
    return (
        len(data) > MAX_HEAD_BYTES
        and b"\r\n\r\n" not in data[: MAX_HEAD_BYTES + 4]
        and METHOD.match(data) is not None
    )


def protocol_class(app: FastAPI, head_seconds: float) -> type[CapsnetProtocol]:
    """Return the class of the connections of a server of this application."""
    own = {
        "early_refusal": EarlyRefusal(app),
        "fast": FastPath(app),
        "head_seconds": head_seconds,
        "on_connections_changed": [],
    }
    return type("Connection", (CapsnetProtocol,), own)
