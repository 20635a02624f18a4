"""Connections taken as they come, also while the event loop's turns are long.

uvloop takes one connection in a turn of the loop. At twice the sustainable load, clients waited for seven seconds. It
goes when uvloop takes all that wait, as asyncio's own loop does.
"""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Callable, Sized
from typing import Any

import structlog

from .connection_balancer import WorkerConnections

log = structlog.get_logger(__name__)

# Connections that are taken in one turn of the loop, and that can be waiting at the most (uvicorn's own bound).
MOST = 64
BACKLOG = 2048

# Where there are no more files or buffers for connections, the next one is looked for after so many seconds.
SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
REST = 0.5

# Connections that are taken together once one was left to another worker for long enough: that one hangs or is busy.
OVERDUE = 8

# Seconds for which a worker with more connections than another leaves a new one to it, and between two looks whether it
# still has more. One that is still there after that is taken: the other may hang.
LEAVE_S, LOOK_S = 0.02, 0.001

# A shortage is said in the log once in so many seconds.
SAY_AGAIN_S = 60.0


def is_slow_to_accept() -> bool:
    """Whether the running loop takes one connection in a turn, as uvloop does (libuv from 1.45 on), and no more."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"


class Acceptor:
    """Takes connections off a listening socket beside the loop's own server.

    Under load a turn of the loop takes long, and hundreds of clients have sent a request over a connection that no
    worker has taken: at twice the sustainable load they waited for seven seconds.

    Parameters
    ----------
    listening
        File descriptor of the socket.
    protocol
        Makes what speaks on a connection.
    connections
        Those that are open.
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
        self._opening: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._said = -math.inf
        self._leaving = self._closed = False
        self._loop.add_reader(self._socket, self._accept)
        self.publish()

    def publish(self) -> None:
        """Tell the other workers how many connections there are here."""
        if self._counts is not None and not self._leaving:
            self._counts.publish(len(self._connections) + len(self._opening))

    def leave(self) -> None:
        """Leave new connections to other workers, where there are any."""
        self._leaving = True
        if self._counts is not None:
            self._counts.close()

    def close(self) -> None:
        """Take those that are waiting, who would be cut off, and no more."""
        self._closed = True
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._socket)
        self._accept(BACKLOG)
        self._socket.close()

    def _accept(self, most: int = MOST, left_until: float = math.inf) -> None:
        """Take up to `most` connections; where another worker has fewer, only those left to it until now."""
        now = self._loop.time()
        overdue, until = (OVERDUE, math.inf) if now >= left_until else (0, left_until)
        for number in range(most):
            if number >= overdue and self._leaves_to_others():
                self._rest_for(LOOK_S, min(until, now + LEAVE_S))
                return
            try:
                connection, _ = self._socket.accept()
            except OSError as error:  # mostly because there is no other
                self._rest_after(error)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            self.publish()
            task.add_done_callback(self._opened)

    def _rest_after(self, error: OSError) -> None:
        """Where something is short, look for connections a while later: they wait."""
        if error.errno not in SHORT:
            return
        if self._loop.time() - self._said > SAY_AGAIN_S:
            self._said = self._loop.time()
            log.warning(
                "new connections have to wait: the system has no more files or memory for them",
                error=error.strerror, connections=len(self._connections),
            )  # fmt: skip
        self._rest_for(REST)

    def _leaves_to_others(self) -> bool:
        return self._counts is not None and not self._closed and self._counts.has_most()

    def _rest_for(self, seconds: float, left_until: float = math.inf) -> None:
        """Look at the socket again in so many seconds."""
        if self._rest is None and not self._closed:
            self._loop.remove_reader(self._socket)
            self._rest = self._loop.call_later(seconds, self._go_on, left_until)

    def _go_on(self, left_until: float) -> None:
        self._rest = None
        self._loop.add_reader(self._socket, self._accept)
        self._accept(left_until=left_until)

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        self.publish()  # it was counted twice for a moment

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone again
            connection.close()
