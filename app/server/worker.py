"""One of several processes on a port, as `app.workers` starts it: `python -m app.worker CHANNEL NUMBER FILE...`.

CHANNEL is the number of an inherited socket whose other end the supervisor holds. Through it the worker says that it is
ready, or why it cannot start; and when it closes, the supervisor is gone and the worker ends as well. NUMBER is the
worker's own, and through the other inherited files (`app.siblings`) it shares connections with the others.
"""

import asyncio
import contextlib
import signal
import socket
import sys

from fastapi import FastAPI

from app import logs
from app.errors import StartError
from app.listening import shared_socket
from app.main import create_app
from app.server import Server
from app.settings import Settings
from app.siblings import Siblings
from app.workers import READY


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
    """Serve until the supervisor says or is gone; tell it what is wrong where that cannot be."""
    channel_file, number, *files = map(int, sys.argv[1:])
    channel = socket.socket(fileno=channel_file)
    try:
        settings = Settings.load()
        logs.configure(settings.log_format, settings.log_level)
        server = WorkerServer(create_app(settings), settings, channel, Siblings(number, files))
    except StartError as error:
        channel.sendall(str(error).encode())
        sys.exit(1)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([shared_socket(settings)])


if __name__ == "__main__":
    main()
