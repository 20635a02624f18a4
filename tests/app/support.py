"""Starting and stopping the service as an operator does: `python -m app`, a process of its own."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 30.0


class Server:
    """A running `python -m app`."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self.client = httpx.Client(base_url=url, timeout=30)

    def stop(self) -> int:
        """End it as an operator would; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def environment(**settings: object) -> dict[str, str]:
    """The environment of the tests with these settings of the service and no others."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CAPSNET_")}
    return plain | {f"CAPSNET_{name.upper()}": str(value) for name, value in settings.items()}


def run_app(**settings: object) -> subprocess.CompletedProcess[str]:
    """`python -m app` where it is expected to end by itself."""
    command = [sys.executable, "-m", "app"]
    return subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(log: Path, **settings: object) -> Iterator[Server]:
    """A server, ready; stopped at the end."""
    port = settings.setdefault("port", free_port())
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=ROOT, env=environment(**settings), stderr=output, text=True
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        server.client.close()
        if process.poll() is None:
            server.stop()


def wait_until_ready(server: Server) -> None:
    give_up = time.monotonic() + START_LIMIT
    while time.monotonic() < give_up and server.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if server.client.get("/health/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{server.log.read_text()}")


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 pixels (H,W) or (H,W,C)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def assert_problem(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """The answer is a complete problem of this status whose detail holds these words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "instance", "request_id"}
    assert problem["status"] == status
    assert problem["instance"] == response.request.url.path
    assert problem["request_id"] == response.headers["x-request-id"]
    for word in words:
        assert word in problem["detail"]
    return problem
