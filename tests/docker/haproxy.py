"""Debian's HAProxy on loopback, with as little set as its documentation shows."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.app.server_process import free_port

# `option forwardfor` appends the client's address to what the client says of itself.
CONFIGURATION = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
{options}
frontend clients
  bind 127.0.0.1:{port}
  default_backend capsnet
backend capsnet
  server one 127.0.0.1:{backend}
"""


@contextlib.contextmanager
def proxying(backend: int, folder: Path, *options: str) -> Iterator[int]:
    """The port of a HAProxy before the service on a port, with these lines among its defaults."""
    folder.mkdir()
    port = free_port()
    file = folder / "haproxy.cfg"
    lines = "\n".join(f"  {option}" for option in options)
    file.write_text(CONFIGURATION.format(options=lines, port=port, backend=backend))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=10).status_code == 200
    return False
