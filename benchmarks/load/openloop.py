"""An open-loop load: requests arrive at a rate, whether or not earlier ones have been answered.

wrk is a closed loop: its clients wait for their answers, so it can never ask for more than it gets. Debian has no tool
for the other kind, so this is one: asyncio protocols on uvloop, which write prepared bytes and look at nothing but the
status and the length of an answer. One core of it makes some ten thousand requests a second; what it truly sent is
reported beside what it was to send.
"""

import asyncio
import re
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import uvloop

# Connections that are kept open at most: more than the service's queue holds.
CONNECTIONS = 6000
TICK = 0.002
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
# Seconds after the end for answers that are still under way.
PATIENCE = 35.0


@dataclass
class Arrivals:
    """What became of the requests. `latencies` are seconds from the writing of a request to its whole answer."""

    intended: int = 0
    sent: int = 0
    broken: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: dict[int, list[float]] = field(default_factory=dict)

    @property
    def unanswered(self) -> int:
        """Requests that were sent and never answered."""
        return self.sent - sum(self.statuses.values())

    def percentile(self, percent: float, status: int = 200) -> float:
        """A percentile of the latency of answers with this status, milliseconds; 0 where there are none."""
        found = self.latencies.get(status)
        return 1e3 * float(np.percentile(found, percent)) if found else 0.0


class _Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self._sent_at: float | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's does not inherit from it
        self._load.opened(self)

    def send(self, request: bytes) -> None:
        """Write a request."""
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def abort(self) -> None:
        """End at once."""
        assert self._transport is not None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._received = b""
        assert self._sent_at is not None
        self._load.answered(self, int(head[9:12]), time.perf_counter() - self._sent_at)
        self._sent_at = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(self, busy=self._sent_at is not None)


class _Load:
    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.arrivals = Arrivals()
        self._port = port
        self._requests = requests
        self._free: list[_Connection] = []
        self._open = 0
        self._connections: set[_Connection] = set()
        self._over = False
        self._opening: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def run(self, rate: float, seconds: float) -> Arrivals:
        """Send at `rate` a second for `seconds`, then wait for the answers."""
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            due = int(elapsed * rate)
            while self.arrivals.intended < due:
                self._arrive()
            await asyncio.sleep(TICK)
        give_up = time.perf_counter() + PATIENCE
        while (self._under_way or self._opening) and time.perf_counter() < give_up:  # noqa: ASYNC110  # once
            await asyncio.sleep(0.01)
        await self._close()
        return self.arrivals

    async def _close(self) -> None:
        """End all connections; requests still in progress stay unanswered."""
        self._over = True
        for task in self._opening:
            task.cancel()
        for connection in self._connections:
            connection.abort()
        while self._connections:  # noqa: ASYNC110  # each leaves in a turn of the loop
            await asyncio.sleep(0.001)

    def _arrive(self) -> None:
        """One request more: over a free connection, a new one, or, where all are taken, not at all."""
        request = self._requests[self.arrivals.intended % len(self._requests)]
        self.arrivals.intended += 1
        if self._free:
            self._send(self._free.pop(), request)
        elif self._open < CONNECTIONS:
            self._open += 1
            task = asyncio.ensure_future(self._connect(request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1
            self.arrivals.broken += 1
            return
        self._send(connection, request)

    def _send(self, connection: _Connection, request: bytes) -> None:
        self.arrivals.sent += 1
        self._under_way += 1
        connection.send(request)

    def opened(self, connection: _Connection) -> None:
        """Keep a connection in mind, so that it can be ended."""
        self._connections.add(connection)

    def answered(self, connection: _Connection, status: int, seconds: float) -> None:
        """Count an answer; the connection is free again."""
        self._under_way -= 1
        self.arrivals.statuses[status] += 1
        self.arrivals.latencies.setdefault(status, []).append(seconds)
        self._free.append(connection)

    def lost(self, connection: _Connection, *, busy: bool) -> None:
        """A connection has ended, with or without a request on it."""
        self._open -= 1
        self._connections.discard(connection)
        if self._over:
            return
        if busy:
            self._under_way -= 1
            self.arrivals.broken += 1
        elif connection in self._free:
            self._free.remove(connection)


def request(path: str, body: bytes, content_type: str) -> bytes:
    """The bytes of a POST over a connection that stays open."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def run(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Arrivals:
    """Send prepared requests in rotation at `rate` a second for `seconds`."""
    return uvloop.run(_Load(port, requests).run(rate, seconds))


def allow_many_connections() -> None:
    """Raise the limit of open files, for this process and for those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
