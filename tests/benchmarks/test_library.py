"""What the benchmarks stand on: wrk's figures are read, bodies are what they say, the open loop sends and counts."""

import email
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.competitors.registry import APPS, COMPETITORS, choose
from benchmarks.load import openloop, payloads, servers, wrk
from tests.app.server_process import Server, serving
from tests.app.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "requests": 900,
    "seconds": 2.0,
    "not_200": 100,
    "broken": 3,
    "p50_ms": 1,
    "p99_ms": 2,
    "max_ms": 3,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a small model."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "mnist")
    with serving(folder / "log", models=folder / "mnist") as running:
        yield running


def test_the_memory_of_a_server_is_that_of_workers_in_sessions_of_their_own_too(tmp_path: Path) -> None:
    """And none of them outlives it."""
    worker = "import time; held = bytearray(150_000_000); print('ready', flush=True); time.sleep(60)"
    program = (
        "import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-c', {worker!r}], start_new_session=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with servers.running([sys.executable, "-c", program], 0, log, folder=ROOT, environment={}) as running:
        while "ready" not in log.read_text():
            time.sleep(0.05)
        assert running.resident() > 150_000_000
        pids = servers.processes_of(running.process.pid)
    assert len(pids) == 2
    give_up = time.monotonic() + 10
    while any(map(lives, pids)):
        assert time.monotonic() < give_up
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Whether a process has not ended; a zombie has ended."""
    try:
        return servers.stat(pid)[0] != "Z"
    except OSError:
        return False


def test_an_answer_that_is_not_200_is_no_speed() -> None:
    load = wrk.parse(f"Running 2s test\n  2 threads\n{wrk.MARK}{json.dumps(FIGURES)}\n")
    assert load.rate == 400
    assert load.broken == 3


def test_output_without_figures_is_an_error() -> None:
    with pytest.raises(wrk.LoadError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1")


def test_the_images_are_512_and_all_different() -> None:
    digits = payloads.digits()
    assert digits.shape == (512, 28, 28)
    assert len({each.tobytes() for each in digits}) == 512


def test_a_form_holds_its_files() -> None:
    files = [b"one", b"\r\n\x00two"]
    body = payloads.multipart(files)
    message = email.message_from_bytes(f"Content-Type: {payloads.MULTIPART}\r\n\r\n".encode() + body)
    parts = [part for part in message.walk() if not part.is_multipart()]
    assert [part.get_payload(decode=True) for part in parts] == files


def test_binary_tensors_are_a_json_header_and_the_bytes() -> None:
    images = payloads.floats(payloads.digits()[:2])
    body, length = payloads.binary_tensors(images)
    (described,) = json.loads(body[:length])["inputs"]
    assert described["parameters"]["binary_data_size"] == len(body) - length
    np.testing.assert_array_equal(
        np.frombuffer(body[length:], np.float32).reshape(described["shape"]), images
    )


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_wrk_posts_the_bodies_and_counts_what_is_refused(server: Server, tmp_path: Path) -> None:
    good = [payloads.multipart([payloads.png(each)]) for each in payloads.digits()[:8]]
    bodies = payloads.write_bodies(tmp_path / "bodies", good)
    url = f"{server.url}/classify?verify=false"
    load = wrk.run(url, bodies, clients=2, seconds=1, content_type=payloads.MULTIPART)
    assert load.requests > 0
    assert load.not_200 == load.broken == 0
    refused = wrk.run(url, bodies, clients=2, seconds=1, content_type="text/plain")
    assert refused.requests == refused.not_200 > 0
    assert refused.rate == 0


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_the_open_loop_keeps_its_rate_and_counts_every_answer(server: Server, tmp_path: Path) -> None:
    form = tmp_path / "form"
    form.write_bytes(payloads.multipart([payloads.png(payloads.digits()[0])]))
    for path, status in (("/classify?verify=false", 200), ("/nowhere", 404)):
        url = f"http://127.0.0.1:{server.port}{path}"
        arrivals = openloop.run(url, form, payloads.MULTIPART, rate=40, seconds=2, connections=8)
        assert set(arrivals.statuses) == {status}
        assert 10 <= arrivals.rate(status) <= 50
        assert arrivals.broken == 0
        assert arrivals.percentile(99, status) > 0


def test_without_h2load_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(wrk.LoadError, match="apt-get install nghttp2-client"):
        openloop.run("http://127.0.0.1:1/", tmp_path, "", rate=1, seconds=1, connections=1)


def test_every_competitor_has_its_file_and_its_pinned_versions() -> None:
    for competitor in COMPETITORS.values():
        if competitor.environment:
            words = [word.partition(":")[0].removesuffix(".py") for word in competitor.command]
            served_here = competitor.settings is not None
            assert served_here or any((APPS / f"{word}.py").exists() for word in words)
            folder = ROOT / "benchmarks" / "competitors" / "requirements"
            pins = (folder / f"{competitor.environment}.txt").read_text()
            for included in re.findall(r"^-r (\S+)\n", pins, re.MULTILINE):
                pins = pins.replace(f"-r {included}\n", (folder / included).read_text())
            pins = re.sub(r" \\\n +--hash=sha256:[0-9a-f]{64}", "", pins)
            pattern = r"[\w.-]+(\[\w+\])?==\S+( ; .*)?"
            assert all(re.fullmatch(pattern, line) for line in pins.splitlines() if line.strip()[0] != "#")
            serving = (ROOT / "requirements" / "runtime-cpu.txt").read_text()
            (runtime,) = re.findall(r"^onnxruntime==\S+", serving, re.MULTILINE)
            assert runtime in pins.splitlines()  # all run the graph with the same runtime


def test_competitors_are_chosen_by_words() -> None:
    assert [c.name for c in choose("fastapi, ray")] == [
        "FastAPI, 1 worker",
        "FastAPI, 2 workers",
        "FastAPI, as usually written",
        "Ray Serve",
    ]
    assert len(choose("")) == len(COMPETITORS)


def test_every_place_for_figures_can_be_filled() -> None:
    places = {name for _, name, _ in report.PLACEHOLDER.findall(report.PAGE.read_text())}
    assert places == set(report.TABLES)
    for name in places:
        assert f"`make {report.COMMANDS[name]}`" in report.section(name)
