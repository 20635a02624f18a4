"""The service on other servers: plain uvicorn, FastAPI's command, gunicorn and Ray Serve. Each answers and ends."""

import contextlib
import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.server_process import ROOT, environment, free_port

# Seconds for a start, and for an end in order.
START_S, END_S = 60.0, 20.0

# Each server's package, its command, and the variables that it needs besides.
SERVERS: dict[str, tuple[str, list[str], dict[str, object]]] = {
    "uvicorn": (
        "uvicorn",
        ["uvicorn", "--no-proxy-headers", "app.main:app", "--host", "127.0.0.1", "--port", "PORT"],
        {},
    ),
    "fastapi": (
        "fastapi_cli",
        ["fastapi", "run", "--no-proxy-headers", "app/main.py", "--host", "127.0.0.1", "--port", "PORT"],
        {},
    ),
    "gunicorn": (
        "uvicorn_worker",
        [
            *("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--forwarded-allow-ips", ""),
            *("-b", "127.0.0.1:PORT", "app.main:app"),
        ],
        {},
    ),
    "CAPSNET_SERVER=uvicorn": ("uvicorn", ["app"], {"server": "uvicorn", "port": "PORT"}),
    "CAPSNET_SERVER=uvicorn, two workers": (
        "uvicorn",
        ["app"],
        {"server": "uvicorn", "port": "PORT", "workers": 2},
    ),
}


@contextlib.contextmanager
def running(name: str, models: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The server's process and a client of it; ended at the end."""
    package, words, variables = SERVERS[name]
    if not importlib.util.find_spec(package):
        pytest.skip(f"needs {package}")
    port = str(free_port())
    settings = {key: str(value).replace("PORT", port) for key, value in variables.items()}
    command = [sys.executable, "-m", *(word.replace("PORT", port) for word in words)]
    env = environment(models=models, **{"log_format": "json", "seting": "none"} | settings)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_until_ready(process, client, log)
            yield process, client
    finally:
        process.terminate()  # a killed gunicorn would leave its workers behind
        try:
            process.wait(END_S)
        finally:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[str], client: httpx.Client, log: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"it did not start:\n{log.read_text()}")


@pytest.mark.parametrize("name", SERVERS)
def test_answers_and_ends_in_order(name: str, tiny_models: Path, seven: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(name, tiny_models, log) as (process, client):
        answer = client.post("/classify?top_k=3", files={"file": seven})
        assert answer.status_code == 200
        assert len(answer.json()["predictions"]) == 3
        assert answer.headers["x-request-id"]
        assert client.post("/classify", files={"file": b"no image"}).status_code == 400
        assert client.get("/").status_code == 200
        assert client.get("/metrics").status_code == 200
        client.get("/health/live", headers={"X-Forwarded-For": "9.9.9.9"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) in (0, -signal.SIGTERM), log.read_text()
        with pytest.raises(httpx.TransportError):
            client.get("/health/live")
    text = log.read_text()
    assert "Traceback" not in text
    assert "CAPSNET_SETING is no setting of this service" in text
    assert '"client":"127.0.0.1"' in text.replace(": ", ":")
    assert "9.9.9.9" not in text  # the address of a client is not what it says


def test_all_of_them_answer_alike(tiny_models: Path, seven: bytes, tmp_path: Path) -> None:
    answers = []
    for name in ("uvicorn", "gunicorn"):
        with running(name, tiny_models, tmp_path / name) as (_, client):
            answers.append(client.post("/classify", files={"file": seven}).json())
    assert answers[0] == answers[1]


def test_a_setting_that_is_wrong_is_said_in_one_line_by_plain_uvicorn(tmp_path: Path) -> None:
    env = environment(server="uvicorn", models=tmp_path / "none")
    result = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "there is no such folder" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray, which only the extra `ray` brings"
)
def test_ray_serve_answers(tiny_models: Path, seven: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = environment(models=tiny_models) | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ray.serve.scripts", "run", "app.server.ray_serve:app"]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, text=True)
    try:
        with httpx.Client(base_url="http://127.0.0.1:8000", timeout=30) as client:
            wait_until_ready(process, client, log)
            assert client.post("/classify", files={"file": seven}).status_code == 200
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
