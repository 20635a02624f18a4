"""Connections for which the system has no more files, and how soon a connection is open."""

import asyncio
import contextlib
import resource
import socket
import time
from pathlib import Path

import pytest

from app.server.acceptor import Acceptor
from app.server.connection_balancer import WorkerConnections
from app.server.shared_memory import sharing_numbers
from tests.app.server_process import serving, wait_until

SAID = "new connections have to wait"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_shortage_of_files_is_said_once_and_passes(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    with serving(tmp_path / "log", models=tiny_models) as running:
        pid = running.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files + 3, usual[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            wait_until(lambda: SAID in running.log.read_text())
            time.sleep(1.5)  # it looks again twice in a second
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
        wait_until(lambda: running.client.post("/classify", files={"file": seven}).status_code == 200)
        text = running.log.read_text()
    assert text.count(SAID) == 1
    assert "Too many open files" in text


def test_a_connection_is_accepted_in_one_turn_and_read_in_the_next() -> None:
    uvloop = pytest.importorskip("uvloop")
    turn, read_in = 0, 0

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            nonlocal read_in
            read_in = turn

    async def scenario() -> None:
        nonlocal turn
        with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
            for _ in range(3):
                client = stack.enter_context(socket.create_connection(listening.getsockname()))
                client.sendall(b"bytes")
            acceptor = Acceptor(listening.fileno(), Protocol, ())
            while not read_in and turn < 100:
                await asyncio.sleep(0)
                turn += 1
            acceptor.close()

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()
    assert read_in == 1


def test_a_connection_that_is_being_opened_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted twice for a moment, it would be left to another worker that has more."""
    published: list[int] = []
    monkeypatch.setattr(WorkerConnections, "publish", lambda self, number: published.append(number))

    async def scenario() -> None:
        connections: set[asyncio.Protocol] = set()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                connections.add(self)
                acceptor.publish(self)

            def connection_lost(self, error: Exception | None) -> None:
                connections.discard(self)
                acceptor.publish(self)

        with socket.create_server(("127.0.0.1", 0)) as listening, sharing_numbers("c", [0]) as (file, _):
            acceptor = Acceptor(listening.fileno(), Protocol, connections, WorkerConnections(0, file))
            with contextlib.ExitStack() as clients:
                for _ in range(5):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)
            acceptor.close()

    asyncio.run(scenario())
    assert max(published) == 5
    assert published[-1] == 0
