"""A short refusal while the service is full: what cannot be served must cost next to nothing.

A request that goes all the way to be refused there takes the time of those that were let in, and of reading the next
ones: these wait in the sockets' buffers, where nobody refuses them. Here one is refused from its bytes, before anything
is made of them. Whatever is not one plain, whole request goes all the way.
"""

import asyncio
import re
from collections import deque
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.exchange import request_id
from app.headers import ALWAYS, DATA_ALONE
from app.problems import MEDIA_TYPE, fields, is_protocol

# What the parser would refuse is not for here: a proxy may take the end of such a request to be somewhere else.
HEAD = re.compile(
    rb"POST (/[a-z/]*)(?:\?[!-~]*)? HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+\r\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *([^\r]*)", re.IGNORECASE)
LONGEST_LENGTH = 15  # digits
ID = re.compile(rb"\r\nx-request-id:([^\r]*)", re.IGNORECASE)
FORWARDED = re.compile(rb"\r\nx-forwarded-for:([^\r]*)", re.IGNORECASE)
# A request with one of these is not plain, and goes all the way.
OTHER = re.compile(
    rb"\r\n(?:expect|transfer-encoding|upgrade|origin):|\r\nconnection:(?! *keep-alive\r\n)", re.IGNORECASE
)

# Requests that are refused or let in in one turn of the loop while the service is full.
IN_A_TURN = 128

# Seconds for a last look at a connection that is to be closed because nothing came: any will do.
LAST_LOOK = 0.01


def whole_request(data: bytes) -> re.Match[bytes] | None:
    """The head of `data`, its path as group 1, where that is exactly one plain POST request; None for anything else."""
    head = HEAD.match(data)
    if head is None or OTHER.search(head[0]):
        return None
    lengths = LENGTH.findall(head[0])
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > LONGEST_LENGTH:
        return None
    return head if len(data) == head.end() + int(lengths[0]) else None


class Refusals:
    """What the connections of one server know of its application: whether it is full, and how to say so."""

    def __init__(self, app: FastAPI) -> None:
        self._state = app.state
        self._paths: dict[bytes, str] = {}
        for route in iter_route_contexts(app.routes):
            path = str(route.path)
            if "POST" in (route.methods or ()) and not is_protocol(path):
                self._paths[path.encode()] = path
        stack = app.middleware_stack
        self._proxies = stack.trusted_hosts if isinstance(stack, ProxyHeadersMiddleware) else None
        self.arrived = 0  # whole requests whose answer is waited for
        self._line: deque[tuple[Protocol, bytes]] = deque()

    def puts_off(self, connection: "Protocol", data: bytes) -> bool:
        """Whether what a connection brings must stand in line, and its next request stay in the socket.

        A turn of the loop reads sockets as long as there are any to be read (libuv: 48 times 1,024), and a refused
        client may send again in the same turn: then nothing else has its turn, the results of batches least of all.
        """
        if not data.startswith(b"POST "):  # a probe, or what is no request
            return False
        if not self._line and self._state.service.admission.refusal(arrived=self.arrived) is None:
            return False
        if not self._line:
            asyncio.get_running_loop().call_soon(self._work_off)
        self._line.append((connection, data))
        return True

    def _work_off(self) -> None:
        try:
            for _ in range(min(IN_A_TURN, len(self._line))):
                connection, data = self._line.popleft()
                connection.go_on(data)
        finally:  # whatever becomes of one, the others have their turn
            if self._line:
                asyncio.get_running_loop().call_soon(self._work_off)

    def answer(
        self, data: bytes, client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]
    ) -> bytes | None:
        """The whole answer to `data` where it is refused; None where it is let in, or is not one plain request.

        `headers` are those that the server adds to every answer.
        """
        problem = self._state.service.admission.refusal(arrived=self.arrived)
        if problem is None or not self._state.ready:
            return None
        if (request := whole_request(data)) is None or (path := self._paths.get(request[1])) is None:
            return None
        given = ID.findall(request[0])
        identity = request_id(given[-1].strip() if given else b"")
        self._count(path, problem.status, problem.kind, identity, self._client(request[0], client))
        body = orjson.dumps(fields(problem, path, identity))
        lines = [
            *headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
            DATA_ALONE,
            *ALWAYS,
            (b"x-request-id", identity.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], head, body)

    def _client(self, head: bytes, client: tuple[str, int] | None) -> tuple[str, int] | None:
        """Whose request it is: where a trusted proxy sent it, who that says."""
        given = b",".join(FORWARDED.findall(head)).decode("latin-1")
        if self._proxies is None or client is None or client[0] not in self._proxies or not given:
            return client
        host, port = self._proxies.get_trusted_client_address(given)
        return (host, port) if host else client

    def _count(
        self, path: str, status: int, kind: str, identity: str, client: tuple[str, int] | None
    ) -> None:
        """Leave the traces that every request leaves."""
        self._state.metrics.begin()
        self._state.metrics.end("POST", path, status, 0.0, kind)
        scope: dict[str, Any] = {"path": path, "client": client, "state": {"request_id": identity}}
        self._state.access.add(scope, "POST", status, 0.0)


class Protocol(HttpToolsProtocol):
    """uvicorn's connection, which knows when it may refuse: between two requests, where nothing is half read.

    What its client has sent and is not answered counts as arrived, but not where the client itself is what is waited
    for: many that never read an answer would fill the house, and nobody would be in it.
    """

    refusals: Refusals
    _between = True
    _counted = False

    def data_received(self, data: bytes) -> None:
        """Take what has come, or have it stand in line."""
        if self._may_refuse() and self.refusals.puts_off(self, data):
            self._unset_keepalive_if_required()
            self.transport.pause_reading()
        else:
            super().data_received(data)

    def go_on(self, data: bytes) -> None:
        """Refuse what stood in line, or let it in."""
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        answer = None
        if self._may_refuse():
            answer = self.refusals.answer(data, self.client, self.server_state.default_headers)
        if answer is None:
            super().data_received(data)
            return
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _may_refuse(self) -> bool:
        """Whether a request begins here and nothing is owed for those before it."""
        return self._between and self._is_answered() and not self.flow.write_paused

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for a while, or it has and nobody looked: timers come before sockets in a turn of the loop.

        So the sockets have one more turn; a request that is found there takes this back.
        """
        self.timeout_keep_alive_task = self.loop.call_later(LAST_LOOK, super().timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._between = False
        super().on_message_begin()

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
        self._count(lost=True)

    def _is_answered(self) -> bool:
        """Whether nothing is owed for what was read so far."""
        return self.cycle is None or self.cycle.response_complete

    def _count(self, *, lost: bool = False) -> None:
        """Have a whole request counted as long as its answer is waited for."""
        waits = self._between and not self._is_answered() and not self.flow.write_paused and not lost
        self.refusals.arrived += waits - self._counted
        self._counted = waits


def protocol(app: FastAPI) -> type[Protocol]:
    """The class of the connections of a server of this application."""
    return type("Protocol", (Protocol,), {"refusals": Refusals(app)})
