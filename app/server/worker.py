"""Serve as one of several processes on a port: `python -m app.server.worker CHANNEL NUMBER MEMORY COUNTS LISTENING`.

CHANNEL is the number of an inherited socket whose other end the supervisor holds. Through it the worker learns what it
should serve (`fingerprint`). It tells that it is ready, or why it cannot start, and then every second that it lives.
When the channel closes, the supervisor is gone and the worker ends as well. NUMBER is the worker's own. MEMORY is an
inherited file in which all workers count the memory of their decodings, and COUNTS one in which they count their
connections (`connection_balancer`). LISTENING is the socket from which all of them accept.

It ends 3.2 s after its supervisor was killed (docs/log/serving.md, uvicorn's supervisor); a heartbeat is one byte a
second. It goes with the supervisor.
"""

import asyncio
import contextlib
import signal
import socket
import sys

from fastapi import FastAPI

from ..api.application import create_app
from ..api.authentication import ApiKeys
from ..api.state import shared_changes, state_of
from ..errors import StartupError
from ..inference.model_repository import hash_cards
from ..observability import logging_config
from ..settings import Settings
from .connection_balancer import WorkerConnections
from .fingerprint import CHANGED, SIZE, agrees, fingerprint
from .server import Server
from .supervisor import ALIVE, HEARTBEAT_S, READY


class WorkerServer(Server):
    """A server that tells its supervisor when it is ready, and ends with it."""

    def __init__(
        self, app: FastAPI, settings: Settings, channel: socket.socket, counts: WorkerConnections
    ) -> None:
        super().__init__(app, settings, counts)
        self._channel = channel

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell the supervisor."""
        await super().startup(sockets)
        self._channel.sendall(READY)
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel, self._supervisor_gone)
        self._beat()

    def _beat(self) -> None:
        """Send a heartbeat while the event loop turns."""
        with contextlib.suppress(OSError):  # the supervisor is gone, or has long not read
            self._channel.send(ALIVE)
        asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _supervisor_gone(self) -> None:
        """End in order; the channel is readable only once it is closed."""
        asyncio.get_running_loop().remove_reader(self._channel)
        self.handle_exit(signal.SIGTERM, None)


def main() -> None:
    """Serve until the supervisor asks for the end or is gone; tell it why if serving is impossible."""
    channel_file, number, memory, counts, listening = map(int, sys.argv[1:])
    channel = socket.socket(fileno=channel_file)
    expected = channel.recv(SIZE, socket.MSG_WAITALL)
    try:
        settings = Settings.load()
        logging_config.configure(settings.log_format, settings.log_level)
        app = create_app(settings)
        state = state_of(app)
        service = state.service
        served = hash_cards(model.card for model in service.models)
        # After a model was loaded or unloaded, a worker must serve what the others do now.
        shared = shared_changes()
        changed = shared is not None and shared.read().number > 0
        others = shared.served() if shared is not None and changed else None
        found = fingerprint(served, ApiKeys.load(settings), ApiKeys.load_admin(settings))
        if not agrees(found, expected, with_models=not changed) or others not in (None, served):
            raise StartupError(CHANGED)
        service.decode_memory.share(memory, number)
        server = WorkerServer(app, settings, channel, WorkerConnections(number, counts))
    except StartupError as error:
        channel.sendall(str(error).encode())
        sys.exit(1)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([socket.socket(fileno=listening)])


if __name__ == "__main__":
    main()
