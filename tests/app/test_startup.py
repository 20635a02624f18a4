"""Starting and stopping: an error is one line, and accepted requests are finished."""

import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx
import onnx
import pytest

from app.api.application import create_app
from app.errors import StartupError
from app.server.server import READINESS_DELAY_S
from app.settings import Settings
from capsnet.card import Graph, sha256
from tests.app.server_process import (
    PLAIN,
    Server,
    assert_problem,
    environment,
    free_port,
    is_ending,
    one_core,
    run_app,
    serving,
    wait_until,
    working_folder,
)
from tests.app.tiny_model import write_card, write_tiny_model

PROBES = 30
Answer = TypeVar("Answer")


def refusal(monkeypatch: pytest.MonkeyPatch, **settings: object) -> str:
    """The sentence with which the service refuses to start with these settings."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # makes any machine one without a GPU
    for name, value in settings.items():
        monkeypatch.setenv(f"CAPSNET_{name.upper()}", str(value))
    with pytest.raises(StartupError) as refused:
        create_app(Settings.load())
    return str(refused.value)


def test_a_refusal_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    wrong_setting = run_app(port="99999")
    assert wrong_setting.returncode == 1
    assert wrong_setting.stderr == (
        "capsnet: CAPSNET_PORT is '99999': input should be less than or equal to 65535 (1 to 65535)\n"
    )
    no_model = run_app(models=tmp_path)
    assert no_model.returncode == 1
    assert no_model.stderr == f"capsnet: {tmp_path}: holds no model: no folder in it has a card.json\n"


@pytest.mark.parametrize("wanted", ["cuda", "tensorrt"])
def test_a_device_that_cannot_be_had_is_refused(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    line = refusal(monkeypatch, models=tiny_models, device=wanted)
    assert line == f"CAPSNET_DEVICE is {wanted!r}, but the NVIDIA driver offers no GPU"


def test_require_gpu_refuses_a_cpu(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CAPSNET_REQUIRE_GPU is set, but" in refusal(monkeypatch, models=tiny_models, require_gpu=1)
    assert "contradict" in refusal(monkeypatch, models=tiny_models, require_gpu=1, device="cpu")


def test_one_broken_model_among_several_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "mnist")
    write_tiny_model(tmp_path / "other", name="other")
    graph = tmp_path / "other" / "encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    line = refusal(monkeypatch, models=tmp_path)
    assert line.startswith(f"{graph}: is not the file its card speaks of: SHA-256 is ")


def test_a_graph_of_another_export_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "mnist", export_id="another")
    line = refusal(monkeypatch, models=tmp_path)
    assert line.startswith(f"{tmp_path / 'mnist' / 'encoder.onnx'}: is of another export than its card")
    assert "'another'" in line


def test_a_graph_that_is_no_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    graph = tmp_path / "mnist" / "decoder.onnx"
    graph.write_bytes(b"no graph, though its card says so")
    write_card(tmp_path / "mnist", card, decoder=Graph(file=graph.name, sha256=sha256(graph)))
    assert refusal(monkeypatch, models=tmp_path).startswith(f"{graph}: ONNX Runtime cannot load it: ")


def test_a_graph_that_keeps_weights_in_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    graph = tmp_path / "mnist" / "decoder.onnx"
    onnx.save(onnx.load(graph), graph, save_as_external_data=True, location="weights", size_threshold=0)
    write_card(tmp_path / "mnist", card, decoder=Graph(file=graph.name, sha256=sha256(graph)))
    assert "keeps weights in another file, which the card's hash does not cover" in refusal(
        monkeypatch, models=tmp_path
    )


def test_a_graph_that_computes_nothing_finite_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_model(tmp_path / "mnist", spread=float("inf"))
    line = refusal(monkeypatch, models=tmp_path)
    assert line == (
        f"{tmp_path / 'mnist' / 'encoder.onnx'}: does not fit its card: the lengths of a blank image are not finite"
    )


def test_a_graph_of_another_shape_than_its_card_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    write_card(tmp_path / "mnist", card, config=dataclasses.replace(card.config, pose_dim=8))
    line = refusal(monkeypatch, models=tmp_path)
    assert line.startswith(f"{tmp_path / 'mnist' / 'encoder.onnx'}: does not fit its card: ")
    assert "(1, 10, 16)" in line
    assert "(1, 10, 8)" in line


def test_an_unknown_default_model_is_refused(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, models=tiny_models, default_model="cifar")
    assert "CAPSNET_DEFAULT_MODEL is 'cifar'" in line
    assert "mnist, pair" in line


def test_a_precision_that_a_model_lacks_is_refused(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refusal(monkeypatch, models=tiny_models, precision="int8")
    assert line == f"{tiny_models / 'mnist'}: CAPSNET_PRECISION is 'int8', but the model has only fp32"


@contextlib.contextmanager
def as_first_process(log: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`python -m app` as the first process of a container: the program `unshare` around it, and its process id."""
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs a process namespace")
    with log.open("w") as output:
        around = subprocess.Popen(
            [*alone, sys.executable, "-m", "app"],
            cwd=working_folder(),
            env=environment(**settings),
            stderr=output,
        )
    children = Path(f"/proc/{around.pid}/task/{around.pid}/children")
    try:
        wait_until(lambda: bool(children.read_text()), 30)
        yield around, int(children.read_text())
    finally:
        around.kill()
        around.wait()


def test_a_container_that_is_stopped_while_it_starts_ends_at_once(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system gives the first process of a container no signal for which it has no handler."""
    (tmp_path / "fastapi.py").write_text("import sys, time\nprint('slow', file=sys.stderr)\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with as_first_process(tmp_path / "log", models=tiny_models, port=free_port()) as (around, pid):
        wait_until(lambda: "slow" in (tmp_path / "log").read_text(), 30)
        os.kill(pid, signal.SIGTERM)
        assert around.wait(5) == 128 + signal.SIGTERM


@pytest.mark.skipif(PLAIN, reason="uvicorn ends by the signal")
def test_a_container_that_is_stopped_while_it_serves_ends_in_order(tiny_models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with as_first_process(log, models=tiny_models, port=free_port()) as (around, pid):
        wait_until(lambda: "listening" in log.read_text(), 60)
        os.kill(pid, signal.SIGTERM)
        assert around.wait(20) == 0


@pytest.mark.skipif(PLAIN, reason="a line of the tuned server")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_answers_once_its_log_says_listening(
    tiny_models: Path, tmp_path: Path, workers: int
) -> None:
    log, port = tmp_path / "log", free_port()
    settings = environment(models=tiny_models, port=port, workers=workers)
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=working_folder(), env=settings, stderr=output
        ) as process,
    ):
        try:
            wait_until(lambda: "listening" in log.read_text(), 60)
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code == 200
        finally:
            process.terminate()
    assert log.read_text().count("listening") == 1


def test_a_busy_port_is_refused_in_words(tiny_models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_app(models=tiny_models, port=port)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"capsnet: cannot listen on 127.0.0.1:{port} (CAPSNET_HOST, CAPSNET_PORT): address already in use"
    )


def test_an_address_of_another_machine_is_refused_in_words(tiny_models: Path) -> None:
    result = run_app(models=tiny_models, host="192.0.2.1")  # for documentation: no machine has it
    assert result.returncode == 1
    assert "cannot listen on 192.0.2.1:" in result.stderr.splitlines()[-1]
    assert "model loaded" not in result.stderr  # said before anything is loaded


def test_a_folder_without_mnist_serves_what_it_has(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mine", name="leaves")
    with serving(tmp_path / "log", models=tmp_path / "mine", device="CPU") as running:
        assert running.client.get("/models").json()["default"] == "leaves"


def test_a_slip_in_a_variable_is_warned_about(tiny_models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=tiny_models, log_format="json", max_qeue=3, data="x") as running:
        text = running.log.read_text()
    warnings = [line for line in map(json.loads, text.splitlines()) if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == [
        "CAPSNET_MAX_QEUE is no setting of this service (did you mean 'CAPSNET_MAX_QUEUE'?)"
    ]


def test_a_cpu_start_says_what_computes_and_nothing_of_cuda_libraries(
    tiny_models: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", models=tiny_models, device="cpu") as running:
        text = running.log.read_text()
    assert "provider=CPUExecutionProvider" in text
    assert "libcu" not in text
    assert "onnxruntime" not in text


def test_the_service_answers_where_torch_cannot_be_imported(
    tiny_models: Path, tmp_path: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "onnx", "lightning_fabric", "safetensors"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not installed here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with serving(tmp_path / "log", models=tiny_models) as running:
        assert running.client.post("/classify", files={"file": seven}).status_code == 200


def test_a_stop_finishes_what_was_accepted(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    """SIGTERM while requests are under way: whatever answer comes is whole, and the service ends by itself."""
    statuses: list[int] = []

    def ask(port: int) -> None:
        # Refused, or closed between two requests: that is how a stopped server looks.
        gone = contextlib.suppress(ConnectionError, http.client.RemoteDisconnected)
        with (
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection,
            gone,
        ):
            while True:
                connection.request("POST", "/classify", seven, {"Content-Type": "image/png"})
                response = connection.getresponse()
                json.loads(response.read())
                statuses.append(response.status)

    with serving(tmp_path / "log", models=tiny_models) as running, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, httpx.URL(running.url).port or 0) for _ in range(4)]
        while len(statuses) < 20 and not any(each.done() for each in asking):
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)
        for each in asking:
            each.result()
    assert set(statuses) <= {200, 503}
    assert "Traceback" not in (tmp_path / "log").read_text()


def while_it_lingers(running: Server, ask: Callable[[], Answer]) -> Answer | None:
    """The answers of a server that was told to end; None where this process had no time to ask."""
    told = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    try:
        return ask()
    except (ConnectionError, httpx.ConnectError):
        assert time.monotonic() - told > READINESS_DELAY_S
        return None


@pytest.mark.parametrize("media", ["image/png", "image/png; a=b"])
def test_at_the_end_an_answer_says_that_it_is_the_last(
    tiny_models: Path, tmp_path: Path, seven: bytes, media: str
) -> None:
    """On the fast path and beside it: or the next request would be sent over a connection that is just being closed."""
    for _ in range(5):
        with (
            serving(tmp_path / "log", models=tiny_models) as running,
            contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            ) as connection,
        ):
            lasts = last_answers(running, connection, seven, media)
            running.process.wait(20)
        assert "Traceback" not in running.log.read_text()
        if lasts:
            break
    assert lasts, "this machine is too busy to tell"
    kept, new = lasts
    assert kept == (200, "close", True)
    assert new == (200, "close")


def last_answers(
    running: Server, connection: http.client.HTTPConnection, seven: bytes, media: str
) -> tuple[tuple[int, str | None, bool], tuple[int, str | None]] | None:
    """Statuses and `Connection` of two answers at the end, over a kept connection, which ends or not, and a new one."""

    def ask() -> tuple[int, str | None]:
        connection.request("POST", "/classify", seven, {"Content-Type": media})
        response = connection.getresponse()
        json.loads(response.read())
        return response.status, response.headers["Connection"]

    assert ask() == (200, None)
    kept = connection.sock
    assert kept is not None

    def at_the_end() -> tuple[tuple[int, str | None, bool], tuple[int, str | None]]:
        wait_until(lambda: is_ending(running))
        with kept.dup() as watched:  # http.client closes its own
            status, told = ask()
            over = watched.recv(1) == b""
        return (status, told, over), ask()

    return while_it_lingers(running, at_the_end)


@contextlib.contextmanager
def half_a_body(port: int) -> Iterator[socket.socket]:
    """A connection on which an image has begun to come, and does not end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\nhalf"
        )
        yield connection


def answers_at_the_end(running: Server, seven: bytes) -> tuple[httpx.Response, httpx.Response] | None:
    """The first red readiness and the answer to a request after it; None where this process had no time to ask."""
    new_connections = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=running.url, limits=new_connections, timeout=30) as client:

        def ask() -> tuple[httpx.Response, httpx.Response]:
            while (ready := client.get("/health/ready")).status_code == 200:
                pass
            return ready, client.post("/classify", files={"file": seven})

        return while_it_lingers(running, ask)


def test_readiness_turns_red_while_requests_are_still_taken(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    """A load balancer that asks every second learns of the end before a connection is refused."""
    for _ in range(5):
        with serving(tmp_path / "log", models=tiny_models) as running:
            answers = answers_at_the_end(running, seven)
            running.process.wait(20)
        assert "Traceback" not in running.log.read_text()
        if answers:
            break
    assert answers, "this machine is too busy to tell"
    assert_problem(answers[0], 503, "shutting down")
    assert answers[1].status_code == 200


def test_the_client_that_connected_last_is_answered(tiny_models: Path, tmp_path: Path) -> None:
    asked = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving(tmp_path / "log", models=tiny_models) as running, contextlib.ExitStack() as stack:
        running.process.send_signal(signal.SIGTERM)
        opened: list[socket.socket] = []
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                connection = socket.create_connection(("127.0.0.1", running.port), timeout=10)
                opened.append(stack.enter_context(connection))
                time.sleep(0.005)
        last = opened[-3:]
        for connection in last:
            connection.sendall(asked)
        assert [connection.recv(12)[9:] for connection in last] == [b"200"] * 3


def test_a_repeated_sigterm_changes_nothing(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    with (
        serving(tmp_path / "log", models=tiny_models) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as begun,
    ):
        begun.sendall(head % len(seven) + seven[:-1])
        for _ in range(5):
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.4)  # beyond the moment in which new connections are still taken
        begun.sendall(seven[-1:])
        assert begun.recv(12) == b"HTTP/1.1 200"
        running.process.wait(20)
    assert "Traceback" not in running.log.read_text()


def test_a_second_interrupt_ends_at_once(tiny_models: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", models=tiny_models) as running,
        half_a_body(running.port),  # would be waited for
    ):
        running.process.send_signal(signal.SIGINT)
        wait_until(lambda: is_ending(running))
        running.process.send_signal(signal.SIGINT)
        running.process.wait(2)


def test_a_full_queue_is_503_with_retry_after_and_probes_pass_it(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    """On one core, or the slots of a large machine would take all that the clients can send.

    A probe counts where others were refused while it was asked, so that the queue was full. What the server did not
    compute meanwhile, it did not let wait for: other programs, and the clients, may want the processor as well.
    """
    with contextlib.ExitStack() as stack:
        with one_core():
            running = stack.enter_context(serving(tmp_path / "log", models=tiny_models, max_queue=3))
        pose = [0.0] * 16
        body = {"label": 1, "poses": [pose] * 4}
        assert running.client.post("/decode", json=body).status_code == 413
        assert running.client.post("/decode", json={"label": 1, "poses": [pose] * 3}).status_code == 200

        refused: list[httpx.Response] = []
        waits: list[float] = []
        clients = [stack.enter_context(httpx.Client(base_url=running.url, timeout=60)) for _ in range(10)]

        def ask(client: httpx.Client) -> None:
            while len(waits) < PROBES:
                answer = client.post("/classify", files={"file": seven})
                if answer.status_code != 200:
                    refused.append(answer)

        with ThreadPoolExecutor(len(clients)) as pool:
            asking = [pool.submit(ask, client) for client in clients]
            while len(waits) < PROBES and not any(each.done() for each in asking):
                before, start, busy = len(refused), time.perf_counter(), running.cpu_seconds()
                assert running.client.get("/health/ready").status_code == 200
                wait = min(time.perf_counter() - start, running.cpu_seconds() - busy)
                if len(refused) > before:
                    waits.append(wait)
            for each in asking:
                each.result()
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}
    assert {answer.json()["type"] for answer in refused} == {"urn:problem-type:capsnet:queue-full"}
    assert statistics.median(waits) < 0.05
