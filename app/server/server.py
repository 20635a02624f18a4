"""Run uvicorn, and end the way a load balancer needs it: first readiness, then the sockets.

uvicorn closes its sockets at once, so a balancer that has not looked yet sends requests that are refused. In the first
0.9 s after SIGTERM this server answers all of 38 new connections, and plain uvicorn 3 of 41 (docs/log/serving.md,
measured apart). It goes when uvicorn can wait.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
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

# Idle timeout of connections in seconds: longer than that of proxies (nginx: 60), or a proxy may send a request over a
# connection just as it is closed here.
KEEP_ALIVE_S = 75

# Requests are still accepted for so many seconds after readiness has turned red, so that load balancers notice it.
READINESS_DELAY_S = 1.0

# Seconds for the loop to close its listening sockets.
LISTENER_CLOSE_S = 0.01

# Seconds for the connections accepted last to send their requests.
FINAL_ACCEPT_S = 0.1

# Seconds for requests in progress after that.
GRACEFUL_TIMEOUT_S = 7

# Seconds from the first signal to an end by force, where a graph never returns. `docker stop` kills after ten.
HARD_EXIT_S = READINESS_DELAY_S + GRACEFUL_TIMEOUT_S + 1


class Server(uvicorn.Server):
    """A server that sets `AppState.is_ready` of its application, which the readiness probe reports.

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
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACEFUL_TIMEOUT_S,
            )
        )
        self._state = state_of(app)
        self._end = 0.0
        self._acceptors: list[Acceptor] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals while serving.

        At the end uvicorn puts the former handlers back and raises the signal again. The handler of the start would end
        the process by force then, so it goes first.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn readiness red and begin to end. A second SIGTERM changes nothing; a second SIGINT ends at once."""
        if self.should_exit:
            if sig == signal.SIGINT:
                signal.signal(sig, signal.SIG_DFL)
                signal.raise_signal(sig)
            return
        self._state.is_ready = False
        self._protocol.draining = True
        self._end = time.monotonic() + READINESS_DELAY_S
        last = threading.Timer(HARD_EXIT_S, _end_by_force)
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with an acceptor for many connections at once; among several workers by acceptors alone."""
        try:
            await super().startup(sockets)
        except OSError as error:  # another process has begun to listen since the address was bound
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
        """Wait for the readiness delay, then close the sockets and finish the requests in progress.

        uvicorn closes a connection without a request at once, and the first requests of the last ones may be on their
        way.
        """
        for acceptor in self._acceptors:
            acceptor.leave()
        await asyncio.sleep(self._end - time.monotonic())
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        # The loop closes its own sockets in its next turns. The acceptors accept from them until then: connections that
        # came after their last accept would be reset.
        await asyncio.sleep(LISTENER_CLOSE_S)
        for acceptor in self._acceptors:
            acceptor.close()
        await asyncio.sleep(FINAL_ACCEPT_S)
        await super().shutdown(sockets)


def _end_by_force() -> None:
    """End although a thread still runs; no client waits for its result any more."""
    log.error("work did not finish within the grace period; ended without it", seconds=HARD_EXIT_S)
    os._exit(1)
