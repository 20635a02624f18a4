"""A server within the test's process, whose connections can be reached."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

from app.api.application import create_app
from app.api.state import state_of
from app.server.protocol import CapsnetProtocol, protocol_class
from app.settings import Settings


@contextlib.asynccontextmanager
async def within_this_process(
    models: Path, idle: int = 5
) -> AsyncIterator[tuple[type[CapsnetProtocol], ServerState, int]]:
    """The class of its connections, those that are open, and its port; idle ones are closed after `idle` seconds."""
    app = create_app(Settings(models=models))
    served = state_of(app)
    served.is_open = served.is_ready = True
    config = uvicorn.Config(app, lifespan="off", timeout_keep_alive=idle)
    config.load()
    kind, state = protocol_class(app, 30.0), ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    yield kind, state, server.sockets[0].getsockname()[1]
    server.close()
    assert not state.tasks
    await served.service.close()
    assert served.service.admission.is_idle
