"""Starting and stopping the service as an operator does: `python -m app`, a process of its own.

With CAPSNET_TEST_SERVER=plain the service runs under plain uvicorn, from a copy of the tree without `app/server/`.
"""

import atexit
import base64
import contextlib
import functools
import io
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 90.0
PLAIN = os.environ.get("CAPSNET_TEST_SERVER") == "plain"


class Server:
    """A running `python -m app`."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self.client = httpx.Client(base_url=url, timeout=30)

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def memory(self) -> int:
        """Return the resident memory of the process in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def resident(self, key: str = "VmRSS") -> int:
        """Its memory in kB; with the key VmHWM the most that it ever was."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            pytest.skip("needs /proc")
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))

    def cpu_seconds(self) -> float:
        """The processor's time that it has used."""
        status = Path(f"/proc/{self.process.pid}/stat")
        if not status.exists():
            pytest.skip("needs /proc")
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@functools.cache
def working_folder() -> Path:
    """Return the folder that the service starts from: the project, or its copy without `app/server/`."""
    if not PLAIN:
        return ROOT
    copy = tempfile.TemporaryDirectory(prefix="capsnet-plain-")
    atexit.register(copy.cleanup)
    folder = Path(copy.name)
    shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("server", "__pycache__"))
    for name in ("capsnet", "artifacts"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def environment(**settings: object) -> dict[str, str]:
    """The environment of the tests with these settings of the service and no others."""
    if PLAIN:
        settings.setdefault("server", "uvicorn")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CAPSNET_")}
    return plain | {f"CAPSNET_{name.upper()}": str(value) for name, value in settings.items()}


def run_app(**settings: object) -> subprocess.CompletedProcess[str]:
    """`python -m app` where it is expected to end by itself."""
    command = [sys.executable, "-m", "app"]
    return subprocess.run(
        command, cwd=working_folder(), env=environment(**settings), capture_output=True, text=True, timeout=60
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(log: Path, **settings: object) -> Iterator[Server]:
    """A server, ready; killed at the end, so that no test waits for it."""
    port = settings.setdefault("port", free_port())
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            cwd=working_folder(),
            env=environment(**settings),
            stderr=output,
            text=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        server.client.close()
        process.kill()
        process.wait()


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process and those that it starts keep to one core, where the system can bind them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came about"
        time.sleep(0.01)


def count_ready(server: Server) -> int:
    """How many workers have ever been ready; the service answers from the first on."""
    return server.log.read_text().count("a worker is ready")


def is_ending(server: Server) -> bool:
    """Readiness is red, or, a moment later, no server listens any more."""
    try:
        return httpx.get(f"{server.url}/health/ready", timeout=30).status_code == 503
    except httpx.ConnectError:
        return True


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


def pixels_of(file: bytes | str) -> np.ndarray:
    """The pixels of a PNG, given as a file or in base64."""
    data = base64.b64decode(file, validate=True) if isinstance(file, str) else file
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.asarray(image)


def assert_problem(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """The answer is a complete problem of this status whose detail holds these words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "instance", "request_id"}
    assert problem["status"] == status
    assert unquote(problem["instance"]) == response.request.url.path
    assert problem["request_id"] == response.headers["x-request-id"]
    for word in words:
        assert word in problem["detail"]
    return problem
