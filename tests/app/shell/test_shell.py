"""The `capsnet` command as it is typed: a process of its own against a real server."""

import contextlib
import csv
import dataclasses
import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from app.shell.cli import app, parse_dims, parse_move
from app.shell.status import Status
from model.contract import Guard
from tests.app.scripted import Reply, scripted
from tests.app.support import ROOT, Server, environment, free_port, png, serving, wait_until
from tests.app.tiny_model import write_card, write_tiny_model
from tests.terminal import run_in_terminal
from training.datasets import Split

LIMIT = 60  # seconds for one command on a busy machine


def start(*words: str | Path, server: str, **more: Any) -> subprocess.Popen[bytes]:
    variables = environment(server=server) | {"PYTHONPATH": str(ROOT)} | more.pop("variables", {})
    command = [sys.executable, "-m", "app.shell", *map(str, words)]
    return subprocess.Popen(
        command, env=variables, stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **more}
    )


def capsnet(
    *words: str | Path, server: str, status: int = 0, stdin: bytes = b"", **more: Any
) -> tuple[str, str]:
    """What the command wrote to standard output and standard error; it must leave with this status."""
    process = start(*words, server=server, stdin=subprocess.PIPE, **more)
    out, err = process.communicate(stdin, timeout=LIMIT)
    assert process.returncode == status, err.decode()
    return out.decode(), err.decode()


@pytest.fixture(scope="module")
def folder(digits: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digits in two folders, and a bad picture among them."""
    root = tmp_path_factory.mktemp("pictures")
    for index in range(40):
        path = root / ("even" if index % 2 == 0 else "odd") / f"{index // 2:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(digits.images[index, 0]))
    (root / "even" / "bad.png").write_bytes(b"no picture")
    return root


def test_json_lines_and_csv_hold_everything(server: Server, folder: Path) -> None:
    out, err = capsnet("classify", folder, server=server.url, status=1)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["file"] for record in records] == sorted(map(str, folder.rglob("*.png")))
    assert re.search(r"41 pictures in .* a second; 1 failed", err)
    bad = next(record for record in records if "problem" in record)
    assert bad["file"].endswith("bad.png")
    assert bad["problem"]["type"] == "urn:problem-type:capsnet:not-an-image"
    good = records[0]
    answer = server.client.post("/classify", files={"file": Path(good["file"]).read_bytes()}).json()
    assert good.keys() == {"file"} | answer.keys()
    assert good["predictions"][0]["label"] == answer["predictions"][0]["label"]

    out, _ = capsnet("classify", folder, "--format", "csv", server=server.url, status=1)
    rows = list(csv.DictReader(io.StringIO(out)))
    for row, record in zip(rows, records, strict=True):
        assert row["file"] == record["file"]
        if "problem" in record:
            assert (row["problem"], row["status"], row["label"]) == ("not-an-image", "400", "")
        else:
            assert json.loads(row["accepted"]) == record["reconstruction"]["accepted"]
            assert json.loads(row["predictions"])[0]["label"] == row["label"]
            assert float(row["length"]) == pytest.approx(record["predictions"][0]["length"], rel=1e-4)
            assert len(json.loads(row["poses"])) == len(json.loads(row["lengths"])) == 10


def test_a_picture_from_standard_input_and_a_quoted_pattern(
    server: Server, folder: Path, seven: bytes
) -> None:
    words = ("classify", "-", "odd/0[01].png", "--top-k", "2", "--model", "pair", "--no-verify")
    out, _ = capsnet(*words, server=server.url, stdin=seven, cwd=folder)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["file"] for record in records] == ["-", "odd/00.png", "odd/01.png"]
    for record in records:
        assert (record["model"], len(record["predictions"])) == ("pair", 2)
        assert "reconstruction" not in record


def test_a_terminal_gets_a_table(server: Server, folder: Path) -> None:
    variables = environment(server=server.url) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app.shell", "classify", str(folder / "even")]
    status, shown = run_in_terminal(command, env=variables)
    assert status == Status.SOME_FAILED
    headings = next(line for line in shown.splitlines() if line.strip())
    assert headings.split() == ["file", "class", "length", "distance", "accepted", "problem"]
    assert "not a picture" in " ".join(shown.split())


def test_a_table_in_a_file_is_as_wide_as_it_must_be(server: Server) -> None:
    out, _ = capsnet("models", "--format", "table", server=server.url)
    names = [line.split()[0] for line in out.splitlines()[3:] if line.strip()]
    assert names == ["mnist", "pair"]
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out
    cards = [json.loads(line) for line in capsnet("models", server=server.url)[0].splitlines()]
    assert [card["default"] for card in cards] == [True, False]
    assert cards[0]["config"]["pose_dim"] == 16


def test_pictures_are_saved_under_names_that_do_not_collide(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    words = ("--output", tmp_path / "new" / "folder", "--label", "3")
    pictures = (folder / "even" / "00.png", folder / "odd" / "00.png")
    out, _ = capsnet("reconstruct", *pictures, "--move", "3=0.5", "-m", "0=-.25", *words, server=server.url)
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["perturbations"] == [{"dim": 3, "delta": 0.5}, {"dim": 0, "delta": -0.25}]
    assert first["capsule"]["index"] == 3
    assert [Path(path).name for path in second["saved"]] == [
        "00-2.input.png",
        "00-2.reconstruction.png",
        "00-2.perturbed.png",
    ]
    query = "/reconstruct?label=3&dim=3&delta=0.5&dim=0&delta=-0.25"
    headers = {"Accept": "image/png"}
    direct = server.client.post(query, files={"file": pictures[0].read_bytes()}, headers=headers).content
    assert Path(first["saved"][2]).read_bytes() == direct

    out, _ = capsnet(
        "sweep", *pictures, "--dims", "0,3", "--steps", "5", *words, "-f", "csv", server=server.url
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [len(row) for row in json.loads(rows[0]["frames"])] == [5, 5]
    (sheet,) = json.loads(rows[1]["saved"])
    assert Path(sheet).name == "00-2.sweep.png"
    assert Path(sheet).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def places(seven: bytes, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "seven.png").write_bytes(seven)
    return {"seven": tmp_path / "seven.png", "missing": tmp_path / "missing.png"}


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("classify {seven} --model nope", Status.USAGE, "no model is called 'nope'"),
        ("reconstruct {seven} --move 99=1", Status.USAGE, "from 0 to 15"),
        ("classify {seven} {missing}", Status.SOME_FAILED, "1 failed"),
        ("sweep {seven} -o {seven}", Status.SOME_FAILED, "File exists"),
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
        ("classify x --server nowhere", "is no address"),
        ("classify x --api-key bad\tkey", "API key holds"),
        ("classify x --no-verify --fail-on-refused", "--fail-on-refused"),
        ("classify x --jobs 0", "--jobs"),
        ("reconstruct x --move 3:1", "no DIM=DELTA"),
        ("reconstruct x -m 3=1 -m 3=2", "moved once"),
        ("sweep x --dims 0,x", "no list of dimensions"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(command: str, message: str) -> None:
    result = CliRunner().invoke(app, command.split(" "), prog_name="capsnet")
    assert result.exit_code == Status.USAGE
    assert message in " ".join(result.output.replace("│", " ").split())
    assert "bad\tkey" not in result.output


def test_help_names_every_status() -> None:
    for command in ("", "classify", "reconstruct", "sweep", "models"):
        shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
        for status in range(6):
            assert re.search(rf"^ +{status}  ", shown, re.MULTILINE)


def test_a_picture_that_the_guard_refuses_can_fail(tmp_path: Path, seven: bytes) -> None:
    card = write_tiny_model(tmp_path / "models" / "mnist")
    nothing = Guard(p95=(0.0,) * 10, p99=(0.0,) * 10)
    variants = {name: dataclasses.replace(variant, guard=nothing) for name, variant in card.variants.items()}
    write_card(tmp_path / "models" / "mnist", card, variants=variants)
    with serving(tmp_path / "log", models=tmp_path / "models") as strict:
        words = ("classify", "-", "--fail-on-refused")
        out, _ = capsnet(*words, server=strict.url, stdin=seven, status=Status.SOME_REFUSED)
    assert json.loads(out)["reconstruction"]["accepted"] is False


def test_no_server_is_told_in_one_line(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    words = ("classify", folder, "--retries", "1")
    out, err = capsnet(*words, server=url, status=Status.NO_SERVER)
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
        out, err = capsnet("models", server=server.url, status=Status.KEY_REFUSED, variables=variables)
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
        capsnet("models", "--retries", "0", server=server.url, status=Status.NO_SERVER)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupt_ends_at_once_and_cleanly(folder: Path) -> None:
    with scripted(Reply(200, delay=60)) as server:
        process = start("classify", folder, server=server.url)
        wait_until(lambda: bool(server.requests), LIMIT)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=LIMIT)
        assert time.monotonic() - began < 30
    assert process.returncode == Status.INTERRUPTED
    assert (out, err) == (b"", b"")


def test_a_reader_that_leaves_early_is_no_error(server: Server, folder: Path) -> None:
    words = [sys.executable, "-m", "app.shell", "classify", str(folder)]
    piped = f"set -o pipefail; {shlex.join(words)} | head -n 1"
    variables = environment(server=server.url) | {"PYTHONPATH": str(ROOT)}
    command = ["bash", "-c", piped]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=LIMIT)
    assert len(result.stdout.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_help_imports_neither_client_nor_service() -> None:
    program = "import sys, app.shell.cli; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"httpx", "numpy", "PIL", "fastapi", "onnxruntime", "pydantic"}.isdisjoint(loaded)
    program = "import sys, app.shell.commands; print(*sys.modules)"
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
