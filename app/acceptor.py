"""Connections taken as they come, also while the event loop's turns are long."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

# Connections that are taken in one turn of the loop, and that can be waiting at the most (uvicorn's own bound).
MOST = 64
BACKLOG = 2048


def is_slow_to_accept() -> bool:
    """Whether the running loop takes one connection in a turn, as uvloop does (libuv from 1.45 on), and no more."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"


class Acceptor:
    """Takes connections off a listening socket beside the loop's own server.

    Under load a turn of the loop takes long, and hundreds of clients have sent a request over a connection that nobody
    has taken: at twice the load that could be borne they waited for seven seconds.

    Parameters
    ----------
    listening
        File descriptor of the socket.
    protocol
        Makes what speaks on a connection.
    """

    def __init__(self, listening: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._socket = socket.socket(fileno=os.dup(listening))
        self._socket.setblocking(False)
        self._protocol = protocol
        self._opening: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Take those that are waiting, who would be cut off, and no more."""
        self._loop.remove_reader(self._socket)
        self._accept(BACKLOG)
        self._socket.close()

    def _accept(self, most: int = MOST) -> None:
        for _ in range(most):
            try:
                connection, _ = self._socket.accept()
            except OSError:  # there is no other, or files are short, which the loop's server handles
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone again
            connection.close()
