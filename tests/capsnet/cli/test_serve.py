"""`capsnet serve` in a clone, as in the wheel but for where the service lies (`make wheel-check`)."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from capsnet.cli import serve
from tests.app.server_process import ROOT, environment, free_port

COMMAND = [sys.executable, "-m", "capsnet", "serve"]


@contextlib.contextmanager
def command(folder: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The command, started in a folder that has an `app` of its own."""
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").write_text("raise RuntimeError('not the service')\n")
    env = environment() | {"PYTHONPATH": str(ROOT)} | variables
    words = [sys.executable, "-P", *COMMAND[1:], *options]
    process = subprocess.Popen(words, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ready(url: str, process: subprocess.Popen[str]) -> bool:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/health/ready").status_code == 200
        time.sleep(0.05)
    return False


def test_serves_the_models_of_a_folder_and_ends_when_told(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ("--port", str(port), "--models", str(tiny_models), "--host", "127.0.0.1")
    with command(tmp_path, *options) as process:
        assert ready(url, process)
        assert {each["name"] for each in httpx.get(f"{url}/models").json()["models"]} == {"mnist", "pair"}
        assert httpx.post(f"{url}/classify", files={"file": seven}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_opens_a_browser_when_it_is_ready(tiny_models: Path, tmp_path: Path) -> None:
    port, opened = free_port(), tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    options = ("--port", str(port), "--models", str(tiny_models), "--workers", "2", "--open")
    with command(tmp_path, *options, BROWSER=f"{browser} %s") as process:
        give_up = time.monotonic() + 60
        while not opened.exists() and time.monotonic() < give_up and process.poll() is None:
            time.sleep(0.05)
        assert opened.read_text().strip() == f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(20)


def test_what_is_missing_is_named_by_its_extra() -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['fastapi'] = None\n"
        "from capsnet.cli.main import main; sys.argv = ['capsnet', 'serve']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert (
        "install the wheel again with [cpu,serve] after its name, or run `make install-serve`"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("example", "example")],
)
def test_the_address_for_a_browser(host: str, address: str) -> None:
    assert serve._url(host, "80") == f"http://{address}:80"
