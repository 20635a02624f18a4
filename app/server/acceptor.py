"""Accept many connections in one turn of the event loop, also under load.

uvloop accepts one connection in a turn of the loop. At twice the sustainable load, first answers came after 7.4 s in
the median, and with this module after 0.12 s (docs/log/serving.md, overload). It goes when uvloop accepts all that
wait, as asyncio's own loop does.
"""

import asyncio
import contextlib
import errno
import math
import os
import socket
from collections.abc import Callable, Generator, Sized
from typing import Any

import structlog

from .connection_balancer import WorkerConnections

log = structlog.get_logger(__name__)

# Most connections that are accepted in one turn of the loop, and that can wait (uvicorn's own bound).
MOST_A_TURN = 64
BACKLOG = 2048

# Where the system has no more files or buffers for connections, accepting pauses for so many seconds.
SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
SHORTAGE_PAUSE_S = 0.5

# Connections that are accepted together once one was left to another worker for too long: that one hangs or is busy.
OVERDUE = 8

# For so many seconds a worker with more connections than another leaves a new one to it, and so often it checks whether
# it still has more. After that it accepts the connection: the other worker may hang.
LEAVE_S, POLL_S = 0.02, 0.001

# A shortage is logged once in so many seconds.
LOG_INTERVAL_S = 60.0


def is_slow_to_accept() -> bool:
    """Tell whether the running loop accepts only one connection in a turn, as uvloop does (libuv from 1.45 on)."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"


class Acceptor:
    """Accepts connections from a listening socket beside the loop's own server.

    Parameters
    ----------
    listening
        File descriptor of the socket.
    protocol
        Returns the protocol of a new connection.
    connections
        The open connections.
    counts
        The connections of all workers on the port, among whom new ones are shared evenly.
    """

    def __init__(
        self,
        listening: int,
        protocol: Callable[[], asyncio.Protocol],
        connections: Sized,
        counts: WorkerConnections | None = None,
    ) -> None:
        self._socket = socket.socket(fileno=os.dup(listening))
        self._socket.setblocking(False)
        self._protocol = protocol
        self._connections, self._counts = connections, counts
        self._opening: set[asyncio.BaseProtocol | None] = set()
        self._loop = asyncio.get_running_loop()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._logged_at = -math.inf
        self._leaving = self._closed = False
        self._loop.add_reader(self._socket, self._accept)
        self.publish()

    def publish(self, made: asyncio.BaseProtocol | None = None) -> None:
        """Tell the other workers how many connections this one has; `made` is among the open ones, or is lost."""
        self._opening.discard(made)
        if self._counts is not None and not self._leaving:
            self._counts.publish(len(self._connections) + len(self._opening))

    def leave(self) -> None:
        """Leave new connections to other workers, where there are any."""
        self._leaving = True
        if self._counts is not None:
            self._counts.close()

    def close(self) -> None:
        """Accept the waiting connections, which would be reset, and no more."""
        self._closed = True
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._loop.remove_reader(self._socket)
        self._accept(BACKLOG)
        self._socket.close()

    def _accept(self, most: int = MOST_A_TURN, left_until: float = math.inf) -> None:
        """Accept up to `most` connections; while another worker has fewer, only those left to it for too long."""
        now = self._loop.time()
        overdue, until = (OVERDUE, math.inf) if now >= left_until else (0, left_until)
        for number in range(most):
            if number >= overdue and self._leaves_to_others():
                self._pause(POLL_S, min(until, now + LEAVE_S))
                return
            try:
                connection, _ = self._socket.accept()
            except OSError as error:  # mostly because none waits
                self._pause_on_shortage(error)
                return
            connection.setblocking(False)
            self._open(connection)

    def _pause_on_shortage(self, error: OSError) -> None:
        """Pause where the system lacks files or memory; the connections wait."""
        if error.errno not in SHORTAGES:
            return
        if self._loop.time() - self._logged_at > LOG_INTERVAL_S:
            self._logged_at = self._loop.time()
            log.warning(
                "new connections have to wait: the system has no more files or memory for them",
                error=error.strerror, connections=len(self._connections),
            )  # fmt: skip
        self._pause(SHORTAGE_PAUSE_S)

    def _leaves_to_others(self) -> bool:
        return self._counts is not None and not self._closed and self._counts.has_most()

    def _pause(self, seconds: float, left_until: float = math.inf) -> None:
        """Stop watching the socket for so many seconds."""
        if self._pause_timer is None and not self._closed:
            self._loop.remove_reader(self._socket)
            self._pause_timer = self._loop.call_later(seconds, self._resume, left_until)

    def _resume(self, left_until: float) -> None:
        self._pause_timer = None
        self._loop.add_reader(self._socket, self._accept)
        self._accept(left_until=left_until)

    def _open(self, connection: socket.socket) -> None:
        """Open a connection at once: a task would begin in the next turn.

        The loop's coroutine does everything before its only wait, which ends after `connection_made`.
        """
        protocol = self._protocol()
        steps = self._loop.connect_accepted_socket(lambda: protocol, connection).__await__()
        try:
            opened = next(steps)
        except OSError:  # the client has already gone
            connection.close()
            return
        self._opening.add(protocol)
        self.publish()
        opened.add_done_callback(lambda _: self._finish(protocol, steps))

    def _finish(self, protocol: asyncio.Protocol, steps: Generator[Any, Any, Any]) -> None:
        """Have the coroutine end behind its wait."""
        self.publish(protocol)
        with contextlib.suppress(StopIteration, OSError):  # the client has gone, and the transport is closed
            next(steps)
