"""docker/healthcheck.py against servers that are ready, not ready, and not there."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HEALTHCHECK = Path(__file__).resolve().parents[2] / "docker" / "healthcheck.py"


@contextmanager
def server_that_answers(status: int) -> Iterator[int]:
    """The port of a server on loopback whose `/health/ready` has `status`, and everything else 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_healthcheck(port: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CAPSNET_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, HEALTHCHECK], env=environment, capture_output=True, text=True, timeout=10
    )


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_says_whether_the_service_is_ready(status: int, code: int) -> None:
    with server_that_answers(status) as port:
        assert run_healthcheck(port).returncode == code


def test_a_service_that_is_gone_is_not_ready() -> None:
    with server_that_answers(200) as port:
        pass
    result = run_healthcheck(port)
    assert result.returncode == 1
    assert result.stderr == ""
