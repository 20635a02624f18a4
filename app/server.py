"""uvicorn, ending the way a load balancer needs it: readiness first, the sockets a moment later."""

import asyncio
import signal
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.settings import Settings

# Seconds in which requests are still taken after readiness has turned red, so that whoever sends them can learn of it.
LINGER = 1.0

# Seconds for requests under way after that; with LINGER less than the ten after which `docker stop` kills.
GRACE = 7


class Server(uvicorn.Server):
    """Serves an application whose `state.ready` is what its readiness probe says."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the application looks at them, where a proxy is trusted
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._state = app.state
        self._end = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn readiness red and begin to end; asked a second time, end at once."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._state.ready = False
        self._end = time.monotonic() + LINGER
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Linger, then close the sockets and finish what is under way."""
        await asyncio.sleep(self._end - time.monotonic())
        await super().shutdown(sockets)
