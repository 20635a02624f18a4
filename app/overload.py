"""A short refusal while the service is full: what cannot be served must cost next to nothing.

A request that goes all the way to be refused there takes the time of those that were let in, and of reading the next
ones: these wait in the sockets' buffers, where nobody refuses them. Here one is refused from its bytes, before anything
is made of them. Whatever is not one plain, whole request goes all the way.
"""

import re
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.exchange import request_id
from app.headers import ALWAYS, DATA_ALONE
from app.problems import MEDIA_TYPE, fields, is_protocol

REQUEST = re.compile(rb"POST (/[a-z/]*)(?:\?[!-~]*)? HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)(?=\r\n)", re.IGNORECASE)
ID = re.compile(rb"\r\nx-request-id: *([^\r\n]*)\r\n", re.IGNORECASE)
# A request with one of these is not plain, and goes all the way.
OTHER = re.compile(
    rb"\r\n(?:expect|transfer-encoding|upgrade|origin) *:|\r\nconnection *:(?! *keep-alive\r\n)",
    re.IGNORECASE,
)
HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"


def path_of_whole(data: bytes) -> bytes | None:
    """The path of `data` where that is exactly one plain POST request, head and body; None for anything else."""
    if (request := REQUEST.match(data)) is None or (end := data.find(HEAD_END)) < 0:
        return None
    head = data[: end + len(LINE_END)]
    lengths = LENGTH.findall(head)
    whole = len(lengths) == 1 and len(data) == end + len(HEAD_END) + int(lengths[0])
    if not whole or OTHER.search(head) or head.count(b"\n") != head.count(LINE_END):
        return None
    return request[1]


class Refusals:
    """What the connections of one server know of its application: whether it is full, and how to say so."""

    def __init__(self, app: FastAPI) -> None:
        self._state = app.state
        self._paths: dict[bytes | None, str] = {}
        for route in iter_route_contexts(app.routes):
            path = str(route.path)
            if "POST" in (route.methods or ()) and not is_protocol(path):
                self._paths[path.encode()] = path
        self.arrived = 0  # whole requests that are not answered

    def answer(
        self, data: bytes, client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]
    ) -> bytes | None:
        """The whole answer to `data` where it is refused; None where it is let in, or is not one plain request.

        `headers` are those that the server adds to every answer.
        """
        problem = self._state.service.admission.refusal(self.arrived)
        if problem is None or not self._state.ready:
            return None
        if (path := self._paths.get(path_of_whole(data))) is None:
            return None
        given = ID.search(data, 0, data.index(HEAD_END) + len(LINE_END))
        identity = request_id(given[1].strip() if given else b"")
        self._count(path, problem.status, problem.kind, identity, client)
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

    def _count(
        self, path: str, status: int, kind: str, identity: str, client: tuple[str, int] | None
    ) -> None:
        """Leave the traces that every request leaves."""
        self._state.metrics.begin()
        self._state.metrics.end("POST", path, status, 0.0, kind)
        scope: dict[str, Any] = {"path": path, "client": client, "state": {"request_id": identity}}
        self._state.access.add(scope, "POST", status, 0.0)


class Protocol(HttpToolsProtocol):
    """uvicorn's connection, which knows when it may refuse: between two requests, where nothing is half read."""

    refusals: Refusals
    _between = True
    _waiting = False

    def data_received(self, data: bytes) -> None:
        """Refuse a request, or let it in."""
        if self._between and not self._waiting and not self.flow.write_paused:
            headers = self.server_state.default_headers
            if (answer := self.refusals.answer(data, self.client, headers)) is not None:
                self._unset_keepalive_if_required()
                self.transport.write(answer)
                self.server_state.total_requests += 1
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """A request's last byte."""
        super().on_message_complete()
        self._between = True
        if not self.cycle.response_complete:
            self._wait()

    def on_response_complete(self) -> None:
        """An answer's last byte."""
        self._wait_no_longer()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self.refusals.arrived += 1

    def _wait_no_longer(self) -> None:
        if self._waiting:
            self._waiting = False
            self.refusals.arrived -= 1


def protocol(app: FastAPI) -> type[Protocol]:
    """The class of the connections of a server of this application."""
    return type("Protocol", (Protocol,), {"refusals": Refusals(app)})
