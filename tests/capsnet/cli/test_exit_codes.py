"""What the command leaves with, and what it says of it."""

import contextlib
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from capsnet.cli.exit_codes import ExitCode
from capsnet.cli.main import app, parse_dims, parse_move
from tests.app.server_process import ROOT, Server, environment, free_port, serving, wait_until
from tests.app.tiny_model import write_card, write_tiny_model
from tests.capsnet.cli.support import LIMIT, capsnet, start
from tests.capsnet.client.scripted_server import Reply, scripted


@pytest.fixture
def places(seven: bytes, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "seven.png").write_bytes(seven)
    return {"seven": tmp_path / "seven.png", "missing": tmp_path / "missing.png"}


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("classify {seven} --model nope", ExitCode.USAGE, "no model is called 'nope'"),
        ("reconstruct {seven} --move 99=1", ExitCode.USAGE, "from 0 to 15"),
        ("classify {seven} {missing}", ExitCode.SOME_FAILED, "1 failed"),
        ("sweep {seven} -o {seven}", ExitCode.SOME_FAILED, "seven.png: File exists\n"),
    ],
)
def test_the_status_says_what_was_wrong(
    server: Server, places: dict[str, Path], command: str, status: int, message: str
) -> None:
    words = [word.format(**places) for word in command.split()]
    _, err = capsnet(*words, server=server.url, status=status)
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("classify", "Missing argument"),
        ("classify x --server nowhere", "should be an address such as"),
        ("classify x --api-key bad\tkey", "API key should hold"),
        ("classify x --no-verify --fail-on-refused", "--fail-on-refused"),
        ("classify x --jobs 0", "--jobs"),
        ("reconstruct x --move 3:1", "should be DIM=DELTA"),
        ("reconstruct x -m 3=1 -m 3=2", "moved once"),
        ("sweep x --dims 0,x", "should be dimensions with commas"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(command: str, message: str) -> None:
    result = CliRunner().invoke(app, command.split(" "), prog_name="capsnet")
    assert result.exit_code == ExitCode.USAGE
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "bad\tkey" not in result.output


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (
            Reply(500, b'{"title": "it broke"}', {"Content-Type": "application/problem+json"}),
            ExitCode.NO_SERVER,
        ),
        (Reply(422, b'{"title": "bad value"}', {"Content-Type": "application/problem+json"}), ExitCode.USAGE),
    ],
)
def test_a_server_that_fails_is_told_from_wrong_usage(reply: Reply, status: int) -> None:
    with scripted(reply) as server:
        capsnet("models", server=server.url, status=status)


def test_an_option_of_undecodable_bytes_is_wrong_usage(server: Server, places: dict[str, Path]) -> None:
    words = ("reconstruct", places["seven"], "--label", os.fsdecode(b"\xff"))
    out, err = capsnet(*words, server=server.url, status=ExitCode.SOME_FAILED)
    assert "label is ?: should be valid Unicode" in out
    assert "Traceback" not in err


def test_help_names_every_status() -> None:
    for command in ("", "classify", "reconstruct", "sweep", "models"):
        shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
        for status in range(6):
            assert re.search(rf"^ +{status}  ", shown, re.MULTILINE)


def test_an_image_that_the_guard_refuses_can_fail(tmp_path: Path, seven: bytes) -> None:
    card = write_tiny_model(tmp_path / "models" / "mnist")
    variants = {
        name: dataclasses.replace(variant, guard=dataclasses.replace(variant.guard, p95=(-1.0,) * 10))
        for name, variant in card.variants.items()
    }
    write_card(tmp_path / "models" / "mnist", card, variants=variants)
    with serving(tmp_path / "log", models=tmp_path / "models") as strict:
        words = ("classify", "-", "--fail-on-refused")
        out, _ = capsnet(*words, server=strict.url, stdin=seven, status=ExitCode.SOME_REFUSED)
    assert json.loads(out)["reconstruction"]["accepted"] is False


def test_no_server_is_told_in_one_line(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    words = ("classify", folder, "--retries", "1")
    out, err = capsnet(*words, server=url, status=ExitCode.NO_SERVER)
    assert out == ""
    trying, gone = err.splitlines()
    assert trying.startswith(f"capsnet: {url} cannot be reached: ")
    assert "trying again in 0." in trying
    assert gone.startswith(f"capsnet: {url} cannot be reached: ")


def test_a_key_is_asked_for_taken_from_the_environment_and_never_shown() -> None:
    refusal = b'{"type": "urn:problem-type:capsnet:unauthorized", "status": 401, "detail": "a key is needed"}'
    headers = {"Content-Type": "application/problem+json"}
    with scripted(Reply(401, refusal, headers)) as server:
        variables = {"CAPSNET_API_KEY": "very-secret"}
        out, err = capsnet("models", server=server.url, status=ExitCode.KEY_REFUSED, variables=variables)
        assert server.requests[0][1]["Authorization"] == "Bearer very-secret"
        assert err == "capsnet: a key is needed\n"
        assert out == ""
        with_help, _ = capsnet("models", "--help", server=server.url, variables=variables)
        assert "very-secret" not in with_help


def test_a_server_that_is_full_is_asked_again(seven: bytes) -> None:
    full = Reply(503, b"", {"Retry-After": "1"})
    answer = Reply(200, b'{"default": "mnist", "models": []}')
    with scripted(full, full, answer) as server:
        start = time.monotonic()
        _, err = capsnet("models", server=server.url)
        assert time.monotonic() - start > 2
        assert len(server.requests) == 3
        assert err.count("trying again") == 1, "the same reason twice is said once"
    with scripted(full) as server:
        capsnet("models", "--retries", "0", server=server.url, status=ExitCode.NO_SERVER)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupt_ends_at_once_and_cleanly(folder: Path) -> None:
    # A shell has what it starts in the background ignore SIGINT, and these tests may have been started so.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with scripted(Reply(200, delay=60)) as server:
        process = start("classify", folder, server=server.url, preexec_fn=heard)
        wait_until(lambda: bool(server.requests), LIMIT)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=LIMIT)
        assert time.monotonic() - began < 30
    assert process.returncode == ExitCode.INTERRUPTED
    assert (out, err) == (b"", b"")


def test_a_server_that_stays_busy_is_told_from_images_that_fail(places: dict[str, Path]) -> None:
    with scripted(
        Reply(503, b'{"detail": "full", "status": 503}', {"Content-Type": "application/problem+json"})
    ) as busy:
        for command in ("classify", "reconstruct", "sweep"):
            words = (command, places["seven"], "--retries", "0")
            capsnet(*words, server=busy.url, status=ExitCode.NO_SERVER)
            capsnet(*words, places["missing"], server=busy.url, status=ExitCode.SOME_FAILED)


def test_a_reader_that_leaves_early_is_no_error(server: Server, folder: Path) -> None:
    words = [sys.executable, "-m", "capsnet", "classify", str(folder)]
    piped = f"set -o pipefail; {shlex.join(words)} | head -n 1"
    variables = environment(server=server.url) | {"PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", piped]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=LIMIT)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_help_imports_neither_client_nor_service() -> None:
    program = "import sys, capsnet.cli.main; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"httpx", "numpy", "PIL", "fastapi", "onnxruntime", "pydantic"}.isdisjoint(loaded)
    program = "import sys, capsnet.cli.commands; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "PIL", "fastapi", "onnxruntime", "pydantic"}.isdisjoint(loaded)


@given(st.integers(0, 999_999), st.floats(allow_nan=False, allow_infinity=False))
def test_a_move_is_read_as_it_is_written(dim: int, delta: float) -> None:
    assert parse_move(f"{dim}={delta}") == (dim, delta)


@given(st.text())
def test_any_text_is_a_move_or_wrong_usage(text: str) -> None:
    for parse in (parse_move, parse_dims):
        with contextlib.suppress(typer.BadParameter):
            parse(text)


@given(st.lists(st.integers(0, 999_999), min_size=1))
def test_dimensions_are_read_as_they_are_written(dims: list[int]) -> None:
    assert parse_dims(",".join(map(str, dims))) == dims
