"""Several processes on one port: one that dies is replaced, and all end in order, also without their supervisor."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.errors import StartupError
from app.server import supervisor
from app.server.fingerprint import CHANGED
from app.server.supervisor import (
    HANG_S,
    MOST_FAILED_STARTS,
    SECOND_CHECK_S,
    Supervisor,
    _RestartPolicy,
    _WorkerExit,
)
from app.settings import Settings
from capsnet.card import ModelCard
from tests.app.server_process import (
    ROOT,
    Server,
    count_ready,
    environment,
    free_port,
    is_ending,
    run_app,
    serving,
    wait_until,
)
from tests.app.tiny_model import write_card, write_tiny_model

pytestmark = pytest.mark.skipif(
    not hasattr(socket, "SO_REUSEPORT") or not Path("/proc").exists(), reason="needs Linux"
)

PATIENT = 40.0
ESTABLISHED, CLOSE_WAIT = "01", "08"  # states in /proc/net/tcp


def workers_of(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def count_connections(pid: int) -> int:
    """The TCP connections that a process has, also those that their clients have left."""
    lines = map(str.split, Path("/proc/net/tcp").read_text().splitlines())
    connections = {line[9] for line in lines if line[3] in (ESTABLISHED, CLOSE_WAIT)}
    files = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            files.append(str(file.readlink()))
    return sum(file.removeprefix("socket:[").rstrip("]") in connections for file in files)


def count_all(server: Server, connections: int) -> list[int]:
    """What each worker has of so many connections, once who has handed one on holds it no more.

    That is a moment after it was sent, and where the machine is busy perhaps after its first answer.
    """
    wait_until(lambda: sum(map(count_connections, workers_of(server))) == connections)
    return [count_connections(worker) for worker in workers_of(server)]


def ask(server: Server, seven: bytes) -> int:
    """The status of a request on a connection of its own."""
    return httpx.post(f"{server.url}/classify", files={"file": seven}, timeout=PATIENT).status_code


@contextlib.contextmanager
def two_workers(models: Path, log: Path) -> Iterator[Server]:
    with serving(log, models=models, workers=2) as running:
        try:
            wait_until(lambda: count_ready(running) == 2, PATIENT)
            yield running
        finally:
            children = workers_of(running) if running.process.poll() is None else []
            for child in children:  # in sessions of their own
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def test_a_killed_worker_is_replaced_and_an_end_finishes_what_was_accepted(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    with two_workers(tiny_models, tmp_path / "log") as running:
        killed, other = workers_of(running)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed))
        assert [ask(running, seven) for _ in range(10)] == [200] * 10
        wait_until(lambda: count_ready(running) == 3, PATIENT)
        assert "a worker has ended by signal 9" in running.log.read_text()
        assert other in workers_of(running)
        assert killed not in workers_of(running)

        body = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENT) as begun:
            begun.sendall(body % len(seven) + seven[:-1])
            wait_until(lambda: ask(running, seven) == 200)
            running.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_ending(running))
            running.process.send_signal(signal.SIGTERM)  # asked again, nothing changes
            begun.sendall(seven[-1:])
            assert begun.recv(12) == b"HTTP/1.1 200"
        workers = workers_of(running)
        assert running.process.wait(20) == 0
        assert not any(map(is_alive, workers))
    assert "Traceback" not in running.log.read_text()


def test_connections_are_shared_evenly(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    """The kernel alone would give all of four to one worker one time in eight."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    with two_workers(tiny_models, tmp_path / "log") as running:
        running.client.close()
        for count in (4, 4, 4, 4, 4, 32):
            count_all(running, 0)
            with contextlib.ExitStack() as stack:
                for _ in range(count):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
                    connection.settimeout(PATIENT)
                    connection.sendall(head % len(seven) + seven)
                    assert connection.recv(12) == b"HTTP/1.1 200"
                assert sorted(count_all(running, count)) == [count // 2] * 2
        # One of them alone takes all.
        killed, _ = workers_of(running)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed))
        assert [ask(running, seven) for _ in range(8)] == [200] * 8


def test_workers_end_with_a_supervisor_that_was_killed(tiny_models: Path, tmp_path: Path) -> None:
    with two_workers(tiny_models, tmp_path / "log") as running:
        workers = workers_of(running)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not any(map(is_alive, workers)), 15)


def test_a_second_interrupt_ends_all_at_once(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    with two_workers(tiny_models, tmp_path / "log") as running, ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask, running, seven).result() == 200
        workers = workers_of(running)
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENT) as begun:
            begun.sendall(b"POST /classify HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")  # would be waited for
            running.process.send_signal(signal.SIGINT)
            wait_until(lambda: is_ending(running))
            running.process.send_signal(signal.SIGINT)
            running.process.wait(3)
        assert not any(map(is_alive, workers))


def test_workers_that_refuse_to_start_give_their_reason_once(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mnist", export_id="another")
    result = run_app(models=tmp_path, workers=2, port=free_port())
    assert result.returncode == 1
    refusals = [line for line in result.stderr.splitlines() if "is of another export" in line]
    assert refusals == [result.stderr.splitlines()[-1]]
    assert refusals[0].startswith(f"capsnet: {tmp_path / 'mnist' / 'encoder.onnx'}: ")


def test_files_that_are_wrong_are_refused_before_any_worker_starts(tmp_path: Path) -> None:
    card = write_tiny_model(tmp_path / "mnist")
    write_card(tmp_path / "mnist", card)
    (tmp_path / "mnist" / "decoder.onnx").unlink()
    result = run_app(models=tmp_path, workers=2, port=free_port())
    assert result.returncode == 1
    assert result.stderr.startswith(f"capsnet: {tmp_path / 'mnist' / 'decoder.onnx'}: cannot be read")
    assert len(result.stderr.splitlines()) == 1


def test_workers_that_crash_at_their_start_are_given_up(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    (tmp_path / "fastapi.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    start = time.monotonic()
    result = run_app(models=tiny_models, workers=2, port=free_port())
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"capsnet: a worker has ended with status 7 before it was ready; {MOST_FAILED_STARTS} times in a row"
    )
    assert time.monotonic() - start > 0.5  # with pauses between


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError])
def test_a_worker_that_ends_before_it_is_written_to_has_sent_nothing(error: type[OSError]) -> None:
    """Else one crash at a start would end the supervisor, and with it all workers that serve."""

    async def scenario() -> bytes:
        reader = asyncio.StreamReader()
        reader.set_exception(error())
        return await supervisor._read(reader)

    assert asyncio.run(scenario()) == b""


def test_a_worker_that_cannot_be_forked_is_one_that_did_not_start(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For lack of memory perhaps, which may be there again in a moment: no reason to end the others."""
    monkeypatch.setenv(
        "PROMETHEUS_MULTIPROC_DIR", ""
    )  # is set by a supervisor, here in the process of the tests

    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    supervisor = Supervisor(Settings(models=tiny_models, workers=2, port=free_port()), print, b"")
    with pytest.raises(StartupError, match=r"could not be started: .*temporarily unavailable"):
        supervisor.run()
    supervisor = Supervisor(Settings(models=tiny_models, workers=2, port=free_port()), print, b"")
    supervisor._ever_ready, supervisor._ready = True, 1  # another one serves
    ended = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    ended.start()
    supervisor.run()
    assert not ended.is_alive()


def test_a_busy_port_is_refused_in_words(tiny_models: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another supervisor's workers have it
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_app(models=tiny_models, workers=2, port=port)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"capsnet: cannot listen on 127.0.0.1:{port} (CAPSNET_HOST, CAPSNET_PORT): address already in use"
    )


def test_without_a_folder_for_the_counts_workers_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StartupError, match=r"TMPDIR may name: .*gone"):
        Supervisor(Settings(workers=2), lambda pid: None, b"").run()


def test_pauses_double_while_workers_are_short_lived_and_a_long_life_ends_the_row() -> None:
    losses = _RestartPolicy()
    pauses = []
    for _ in range(12):
        losses.count(_WorkerExit(True, "", -11, 1.0))
        pauses.append(losses.pause)
    assert pauses[:4] == [0.0, 0.25, 0.5, 1.0]
    assert pauses[-1] == 30.0
    assert losses.give_up_reason(_WorkerExit(True, "", -11, 1.0), True) == ""
    losses.count(_WorkerExit(True, "", -11, 60.0))
    assert losses.pause == 0.0


@pytest.mark.slow
def test_a_hung_worker_is_ended_and_replaced(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    with two_workers(tiny_models, tmp_path / "log") as running:
        hung, other = workers_of(running)
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: count_ready(running) == 3, PATIENT)
        text = running.log.read_text()
        assert f"pid={hung} silent_seconds={HANG_S + SECOND_CHECK_S}" in text
        assert other in workers_of(running)
        assert not is_alive(hung)
        assert [ask(running, seven) for _ in range(10)] == [200] * 10


def test_a_worker_does_not_take_the_place_of_another_with_other_files(tmp_path: Path, seven: bytes) -> None:
    """Else one service would answer with two versions of a model, or open for two sets of keys."""
    models, keys = tmp_path / "models", tmp_path / "keys"
    card = write_tiny_model(models / "mnist")
    keys.write_text("first\n")
    with serving(tmp_path / "log", models=models, workers=2, api_keys_file=keys) as running:
        wait_until(lambda: count_ready(running) == 2, PATIENT)
        for number, change in enumerate((change_card, change_keys), 1):
            change(models / "mnist", card, keys, changed=True)
            refused = running.log.read_text().count(CHANGED)
            os.kill(workers_of(running)[0], signal.SIGKILL)
            wait_until(partial(is_refused_again, running, refused), PATIENT)
            assert {version_of(running) for _ in range(10)} == {"1.0.0"}
            change(models / "mnist", card, keys, changed=False)
            wait_until(partial(are_ready, running, 2 + number), PATIENT)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def is_refused_again(server: Server, before: int) -> bool:
    return server.log.read_text().count(CHANGED) > before


def are_ready(server: Server, count: int) -> bool:
    return count_ready(server) == count


def change_card(folder: Path, card: ModelCard, _: Path, *, changed: bool) -> None:
    write_card(folder, card, version="2.0.0" if changed else "1.0.0")


def change_keys(_: Path, __: ModelCard, keys: Path, *, changed: bool) -> None:
    keys.write_text("second\n" if changed else "first\n")


def version_of(server: Server) -> str:
    answer = httpx.get(f"{server.url}/models/mnist", headers={"X-API-Key": "first"}, timeout=PATIENT)
    return str(answer.json()["version"])


@pytest.mark.parametrize("workers", [(2, 2), (1, 2), (1, 1)])
def test_of_two_services_that_start_together_one_is_refused_in_words(
    tiny_models: Path, tmp_path: Path, workers: tuple[int, int]
) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        logs = [tmp_path / "first", tmp_path / "second"]
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "app"],
                cwd=ROOT,
                env=environment(models=tiny_models, workers=count, port=port),
                stderr=stack.enter_context(log.open("w")),
            )
            for count, log in zip(workers, logs, strict=True)
        ]
        for each in both:
            stack.callback(each.wait)
            stack.callback(each.terminate)
        wait_until(lambda: any(each.poll() is not None for each in both), PATIENT)
        (refused,) = (index for index, each in enumerate(both) if each.poll() is not None)
        text = logs[refused].read_text()
        assert both[refused].returncode == 1
        assert text.splitlines()[-1].startswith(f"capsnet: cannot listen on 127.0.0.1:{port} (CAPSNET_HOST")
        assert "Traceback" not in text
        wait_until(lambda: is_up(port), PATIENT)


def is_up(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    return False


@pytest.mark.parametrize("rate", [{}, {"rate_limit": "100/minute"}], ids=["metrics", "rate"])
def test_a_full_folder_for_temporary_files_kills_no_worker(
    tiny_models: Path, tmp_path: Path, rate: dict[str, str]
) -> None:
    """In a file system of its own, of 64 kB: the metrics of one worker need three times as much, a rate 1 MB."""
    service = f"{sys.executable} -m app"
    script = f"mount -t tmpfs -o size=64k none {tmp_path} && TMPDIR={tmp_path} exec {service}"
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs a user namespace")
    result = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        cwd=ROOT,
        env=environment(models=tiny_models, workers=2, port=free_port(), **rate),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("capsnet: processes share files in the folder that")
    assert "Traceback" not in result.stderr
    assert "No space left on device" in result.stderr
    assert "signal" not in result.stderr


def test_an_end_in_order_leaves_no_folder(tiny_models: Path, tmp_path: Path) -> None:
    with two_workers(tiny_models, tmp_path / "log") as running:
        variables = Path(f"/proc/{workers_of(running)[0]}/environ").read_bytes().split(b"\0")
        (folder,) = (line.partition(b"=")[2] for line in variables if line.startswith(b"PROMETHEUS_MULTI"))
        assert Path(folder.decode()).is_dir()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
    assert not Path(folder.decode()).exists()


@pytest.mark.parametrize(("limit", "warnings"), [(550_000_000, 1), (4_000_000_000, 0)])
def test_a_memory_limit_that_cannot_hold_the_workers_is_warned_of(
    tiny_models: Path, tmp_path: Path, limit: int, warnings: int
) -> None:
    """With a made-up control group in a file system of its own; decoding alone may take 512 MB."""
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"]).returncode != 0:
        pytest.skip("needs a user namespace and control groups")
    script = (
        f"mount -t tmpfs none /sys/fs/cgroup && echo {limit} > /sys/fs/cgroup/memory.max"
        f" && exec {sys.executable} -m app"
    )
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", script],
            cwd=ROOT,
            env=environment(models=tiny_models, workers=2, port=free_port()),
            stderr=output,
        ) as process,
    ):
        try:
            wait_until(lambda: log.read_text().count("a worker is ready") == 2, PATIENT)
        finally:
            process.terminate()
    text = log.read_text()
    assert text.count("the memory limit is too small for the workers and CAPSNET_DECODE_MEMORY") == warnings
    assert text.count(f"limit={limit}") == warnings
