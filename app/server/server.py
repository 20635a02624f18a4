"""uvicorn, ending the way a load balancer needs it: readiness first, the sockets a moment later."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from ..api.state import state_of
from ..settings import Settings
from .acceptor import Acceptor, is_slow_to_accept
from .connection_balancer import WorkerConnections
from .protocol import protocol_class
from .sockets import cannot_listen, url
from .supervisor import ends_at_hangup

log = structlog.get_logger(__name__)

# Seconds that a connection may be idle: longer than proxies keep theirs (nginx: 60), or one of them may send a request
# over a connection at the moment at which it is closed here.
IDLE = 75

# Seconds in which requests are still taken after readiness has turned red, so that their clients can learn of it.
LINGER = 1.0

# Seconds in which the loop closes its listening sockets.
HANDOVER = 0.01

# Seconds in which the clients admitted last can send their requests.
LAST_WORD = 0.1

# Seconds for requests under way after that.
GRACE = 7

# Seconds from the first signal to an end by force, as where a graph never comes back. `docker stop` kills after ten.
LAST_MOMENT = LINGER + GRACE + 1


class Server(uvicorn.Server):
    """Serves an application whose `AppState.is_ready` is what its readiness probe says.

    Parameters
    ----------
    counts
        The connections of all workers on the port, where there are several.
    on_listening
        Called once the server listens.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        counts: WorkerConnections | None = None,
        on_listening: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_listening = on_listening
        self._protocol = protocol_class(app, settings.request_timeout)
        self._counts = counts
        self._settings = settings
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=self._protocol,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the application looks at them, where a proxy is trusted
                timeout_keep_alive=IDLE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._state = state_of(app)
        self._end = 0.0
        self._acceptors: list[Acceptor] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn readiness red and begin to end. Asked again by SIGTERM, nothing changes; by SIGINT, end at once."""
        if self.should_exit:
            if sig == signal.SIGINT:
                signal.signal(sig, signal.SIG_DFL)
                signal.raise_signal(sig)
            return
        self._state.is_ready = False
        self._protocol.draining = True
        self._end = time.monotonic() + LINGER
        last = threading.Timer(LAST_MOMENT, _end_by_force)
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with a helper for the moments when many connections come at once; among workers by it alone."""
        try:
            await super().startup(sockets)
        except OSError as error:  # another process has begun to listen since the address was looked at
            raise cannot_listen(self._settings, error) from None
        if self.started:
            self._on_listening()
        if self.started and self._counts is None:
            log.info("listening", address=url(self._settings))
            if hasattr(signal, "SIGHUP") and not ends_at_hangup():
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if not self.started or (self._counts is None and not is_slow_to_accept()):
            return
        for listening in (each for server in self.servers for each in server.sockets):
            acceptor = Acceptor(
                listening.fileno(), self._connection, self.server_state.connections, self._counts
            )
            self._acceptors.append(acceptor)
            self._protocol.on_connections_changed.append(acceptor.publish)
        if self._counts is not None:
            for server in self.servers:
                server.close()

    def _reload(self) -> None:
        """Read the models' folder again."""
        self._reloading = asyncio.create_task(self._state.repository.reload())

    def _connection(self) -> asyncio.Protocol:
        return self._protocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Linger, then close the sockets and finish the requests in progress.

        A connection without a request would be closed at once, and the last ones' are still on their way.
        """
        for acceptor in self._acceptors:
            acceptor.leave()
        await asyncio.sleep(self._end - time.monotonic())
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        # The loop closes its own in its next turns. The acceptors listen on the same sockets until then: what came
        # between their last look and the closing would be reset.
        await asyncio.sleep(HANDOVER)
        for acceptor in self._acceptors:
            acceptor.close()
        await asyncio.sleep(LAST_WORD)
        await super().shutdown(sockets)


def _end_by_force() -> None:
    """End although a thread still runs; what it computes has no reader any more."""
    log.error("work did not finish within the grace period; ended without it", seconds=LAST_MOMENT)
    os._exit(1)
