"""What the command writes, against what the service answers: tables, JSON lines, CSV, files."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from capsnet import Png, load
from capsnet.cli.exit_codes import ExitCode
from capsnet.cli.output import sweep_row
from tests.app.server_process import ROOT, Server, environment
from tests.capsnet.cli.support import capsnet
from tests.docs.terminal import run_in_terminal


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "table"])
def test_a_name_that_is_no_unicode_harms_nothing(
    server: Server, tmp_path: Path, seven: bytes, output_format: str
) -> None:
    there, missing = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.png", b"miss\xe9.png"))
    there.write_bytes(seven)
    words = (
        "reconstruct",
        missing,
        there,
        "--output",
        tmp_path / os.fsdecode(b"\xe9"),
        "--format",
        output_format,
    )
    out, err = capsnet(*words, server=server.url, status=ExitCode.SOME_FAILED)
    assert "Traceback" not in err
    assert "caf\ufffd" in out
    assert "No such file" in out


def test_json_lines_and_csv_hold_everything(server: Server, folder: Path) -> None:
    out, err = capsnet("classify", folder, server=server.url, status=1)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["file"] for record in records] == sorted(map(str, folder.rglob("*.png")))
    assert re.search(r"41 images in .* a second; 1 failed", err)
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


def test_csv_says_that_an_image_shows_several_objects(server: Server) -> None:
    images = [str(ROOT / "docs" / "images" / name) for name in ("number.png", "seven.png")]
    out, _ = capsnet("classify", *images, "--format", "csv", server=server.url)
    several, one = csv.DictReader(io.StringIO(out))
    assert several["objects_found"] == "3"
    assert "/read" in several["hint"]
    assert (one["objects_found"], one["hint"], one["note"]) == ("", "", "")


def test_an_image_from_standard_input_and_a_quoted_pattern(
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
    command = [sys.executable, "-m", "capsnet", "classify", str(folder / "even")]
    status, shown = run_in_terminal(command, env=variables)
    assert status == ExitCode.SOME_FAILED
    headings = next(line for line in shown.splitlines() if line.strip())
    assert headings.split() == ["file", "class", "length", "distance", "accepted", "problem"]
    assert "not an image" in " ".join(shown.split())


def test_a_table_in_a_file_is_as_wide_as_it_must_be(server: Server) -> None:
    out, _ = capsnet("models", "--format", "table", server=server.url)
    names = [line.split()[0] for line in out.splitlines()[3:] if line.strip()]
    assert names == ["mnist", "pair"]
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out
    cards = [json.loads(line) for line in capsnet("models", server=server.url)[0].splitlines()]
    assert [card["default"] for card in cards] == [True, False]
    assert cards[0]["config"]["pose_dim"] == 16


def test_a_table_is_written_whatever_encoding_the_place_has(
    server: Server, seven: bytes, tmp_path: Path
) -> None:
    (tmp_path / "é☃.png").write_bytes(seven)
    words = ("transform", tmp_path / "é☃.png", "--steps", "2", "-f", "table")
    out, _ = capsnet(*words, server=server.url, variables={"PYTHONIOENCODING": "ascii"})
    assert "é☃.png" in out
    assert "R²" in out


def test_a_command_whose_output_is_closed_saves_its_files(
    server: Server, seven: bytes, tmp_path: Path
) -> None:
    (tmp_path / "seven.png").write_bytes(seven)
    words = [sys.executable, "-m", "capsnet", "reconstruct", tmp_path / "seven.png", "-o", tmp_path / "out"]
    variables = environment(server=server.url) | {"PYTHONPATH": str(ROOT)}
    script = shlex.join(map(str, words)) + " >&-"
    ran = subprocess.run(["sh", "-c", script], env=variables, capture_output=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "out" / "seven.reconstruction.png").is_file()


def test_images_are_saved_under_names_that_do_not_collide(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    words = ("--output", tmp_path / "new" / "folder", "--label", "3")
    images = (folder / "even" / "00.png", folder / "odd" / "00.png")
    out, _ = capsnet("reconstruct", *images, "--move", "3=0.5", "-m", "0=-.25", *words, server=server.url)
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
    direct = server.client.post(query, files={"file": images[0].read_bytes()}, headers=headers).content
    assert Path(first["saved"][2]).read_bytes() == direct

    out, _ = capsnet(
        "sweep", *images, "--dims", "0,3", "--steps", "5", *words, "-f", "csv", server=server.url
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [len(row) for row in json.loads(rows[0]["frames"])] == [5, 5]
    (sheet,) = json.loads(rows[1]["saved"])
    assert Path(sheet).name == "00-2.sweep.png"
    assert Path(sheet).read_bytes().startswith(b"\x89PNG")


def test_an_explanation_is_told_and_drawn(server: Server, tmp_path: Path, seven: bytes) -> None:
    image = tmp_path / "seven.png"
    image.write_bytes(seven)
    words = ("explain", image, "--label", "2", "--output", tmp_path / "drawn")
    out, _ = capsnet(*words, server=server.url)
    record = json.loads(out)
    assert (record["method"], record["capsule"]["label"]) == ("occlusion", "2")
    (saved,) = record["saved"]
    assert Png(Path(saved).read_bytes()).pixels().shape == (28, 56, 3)  # the input beside the map
    out, _ = capsnet("explain", image, "--format", "csv", server=server.url)
    (row,) = csv.DictReader(io.StringIO(out))
    assert np.array(json.loads(row["heat"])).shape == (28, 28)
    _, err = capsnet("explain", image, "--method", "votes", server=server.url, status=ExitCode.USAGE)
    assert "have no place in the image" in err


def test_a_row_of_a_sweep_gives_directions_their_own_amounts(seven: bytes) -> None:
    model = load("mnist")
    cells = sweep_row("7.png", model.sweep(seven, directions=["slant"], steps=3), []).cells
    assert [cells[name] for name in ("dimensions", "from", "to", "steps")] == ["slant -25 to 25", "", "", "3"]
    cells = sweep_row("7.png", model.sweep(seven, directions=["slant"], dims=[2], steps=3), []).cells
    assert [cells[name] for name in ("dimensions", "from", "to")] == ["2, slant -25 to 25", "-0.25", "0.25"]
    assert sweep_row("7.png", model.sweep(seven, steps=2), []).cells["dimensions"] == "all 16"
