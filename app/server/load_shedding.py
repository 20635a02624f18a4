"""A short refusal while the service is full: what cannot be served must cost next to nothing.

A request that goes all the way to be refused there takes the time of those that were let in, and of reading the next
ones: these wait in the sockets' buffers, where they cannot be refused. Here one is refused from its bytes, before they
are parsed. Whatever is not one plain, whole request goes all the way.

`multimnist`, two workers, clients that ask again at once: 259 of 279 answers of 200 a second with 1,000 connections,
and 52 where refused clients are not made to wait. It goes when that stays above 95 % without it.
"""

import asyncio
from collections import deque
from typing import Protocol

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from ..api import problem_details
from ..api.request_id import choose_request_id
from ..api.route_names import UNMATCHED
from ..api.state import state_of
from ..errors import Problem
from .http_head import Address, answer, client_of, whole_request

# Requests that are refused or let in at a time while the service is full, and seconds between two times. A client that
# asks again at once would otherwise be refused thousands of times a second, and that takes the time of those let in:
# `multimnist`, two workers, wrk with 1,000 connections: 52 answers of 200 a second without the pause, 259 with it.
AT_A_TIME = 32
PAUSE_S = 0.05


class Waiting(Protocol):
    """A connection that stands in line."""

    def resume(self, data: bytes) -> None:
        """Refuse what stood in line, or let it in."""


class Refusals:
    """What the connections of one server know of its application: whether it is full, and how to say so."""

    def __init__(self, app: FastAPI) -> None:
        self._state = state_of(app)
        self._on = self._state.settings.fast_path
        posted = (
            str(route.path) for route in iter_route_contexts(app.routes) if "POST" in (route.methods or ())
        )
        self._paths = {path for path in posted if not problem_details.is_protocol(path)}
        self._proxies = self._state.trusted_hosts
        self.arrived = 0  # whole requests whose answer is waited for
        self._line: deque[tuple[Waiting, bytes]] = deque()

    def puts_off(self, connection: Waiting, data: bytes) -> bool:
        """Whether what a connection brings must stand in line, and its next request stay in the socket.

        A turn of the loop reads sockets as long as there are any to be read (libuv: 48 times 1,024), and a refused
        client may send again in the same turn: then nothing else has its turn, the results of batches least of all.
        """
        if not self._on or not data.startswith(b"POST "):  # a probe, or no request at all
            return False
        if not self._line and self._state.service.admission.check(arrived=self.arrived) is None:
            return False
        if not self._line:
            asyncio.get_running_loop().call_later(PAUSE_S, self._work_off)
        self._line.append((connection, data))
        return True

    def _work_off(self) -> None:
        try:
            for _ in range(min(AT_A_TIME, len(self._line))):
                connection, data = self._line.popleft()
                connection.resume(data)
        finally:  # whatever becomes of one, the others have their turn
            if self._line:
                asyncio.get_running_loop().call_later(PAUSE_S, self._work_off)

    def answer(self, data: bytes, client: Address | None, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """The whole answer to `data` where it is refused; None where it is let in, or is not one plain request.

        `headers` are those that the server adds to every answer.
        """
        problem = self._state.service.admission.check(arrived=self.arrived) if self._on else None
        if problem is None or not self._state.is_ready:
            return None
        head = whole_request(data)
        if head is None or head.path not in self._paths:
            return None
        identity = choose_request_id(head.last("x-request-id").encode("latin-1"))
        client = client_of(head, client, self._proxies)
        return self._refusal(problem, identity, client, headers, method="POST", path=head.path)

    def refuse(self, problem: Problem, client: Address | None, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer to bytes that are no whole request, and so have no method, path or id."""
        return self._refusal(problem, choose_request_id(b""), client, headers)

    def _refusal(
        self,
        problem: Problem,
        identity: str,
        client: Address | None,
        headers: list[tuple[bytes, bytes]],
        *,
        method: str = "-",
        path: str = "",
    ) -> bytes:
        """The whole answer for a problem, which leaves the traces that every request leaves."""
        self._state.recorder.begin()
        self._state.recorder.end(
            method,
            path or "-",
            problem.status,
            0.0,
            route=path or UNMATCHED,
            problem=problem.kind,
            client=client,
            request_id=identity,
        )
        body, media_type = problem_details.encode_problem(problem, path, identity)
        more = problem_details.problem_headers(problem, len(body), media_type)
        return answer(problem.status, identity, [*headers, *more], body)
