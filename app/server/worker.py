"""Serve as one of several processes on a port: `python -m app.server.worker CHANNEL NUMBER FILE...`.

CHANNEL is the number of an inherited socket whose other end the supervisor holds. Through it the worker says that it is
ready, or why it cannot start; and when it closes, the supervisor is gone and the worker ends as well. NUMBER is the
worker's own, and through the other inherited files (`connection_balancer`) it shares connections with the others.
"""

import asyncio
import contextlib
import signal
import socket
import sys

from fastapi import FastAPI

from ..api.application import create_app
from ..errors import StartupError
from ..observability import logging_config
from ..settings import Settings
from .connection_balancer import Siblings
from .server import Server
from .sockets import shared_socket
from .supervisor import READY


class WorkerServer(Server):
    """A server that tells its supervisor when it is ready, and ends with it."""

    def __init__(self, app: FastAPI, settings: Settings, channel: socket.socket, siblings: Siblings) -> None:
        super().__init__(app, settings, siblings)
        self._channel = channel

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._channel.sendall(READY)
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel, self._supervisor_gone)

    def _supervisor_gone(self) -> None:
        """End in order; the channel is readable only once it is closed."""
        asyncio.get_running_loop().remove_reader(self._channel)
        self.handle_exit(signal.SIGTERM, None)


def main() -> None:
    """Serve until the supervisor says or is gone; tell it the reason where that cannot be."""
    channel_file, number, *files = map(int, sys.argv[1:])
    channel = socket.socket(fileno=channel_file)
    try:
        settings = Settings.load()
        logging_config.configure(settings.log_format, settings.log_level)
        server = WorkerServer(create_app(settings), settings, channel, Siblings(number, files))
    except StartupError as error:
        channel.sendall(str(error).encode())
        sys.exit(1)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([shared_socket(settings)])


if __name__ == "__main__":
    main()
