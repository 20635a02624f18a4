"""`capsnet evaluate`: a table for people, everything for programs, over HTTP and in this process."""

import json
import shutil
from pathlib import Path

import pytest

from tests.app.server_process import Server
from tests.capsnet.cli.support import capsnet


@pytest.fixture
def labelled(folder: Path, tmp_path: Path) -> Path:
    """Digits in two folders that are called like classes."""
    shutil.copytree(folder / "odd", tmp_path / "digits" / "3")
    shutil.copytree(folder / "even", tmp_path / "digits" / "5", ignore=shutil.ignore_patterns("bad.png"))
    return tmp_path / "digits"


def test_every_class_has_a_row_and_the_mistakes_a_sheet(
    server: Server, labelled: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "new" / "mistakes.png"
    out, err = capsnet("evaluate", labelled, "--output", sheet, server=server.url)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["class"] for row in rows] == ["3", "5", None]
    assert [sum(row["found"].values()) for row in rows[:2]] == [20, 20]
    assert rows[2]["right"] == rows[0]["right"] + rows[1]["right"]
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert str(sheet) in err
    table, _ = capsnet("evaluate", labelled, "--format", "table", server=server.url)
    assert "taken for" in table


def test_a_folder_or_a_model_that_is_not_there_is_wrong_usage(server: Server, tmp_path: Path) -> None:
    _, err = capsnet("evaluate", tmp_path / "none", server=server.url, status=2)
    assert "no such folder" in err
    _, err = capsnet("evaluate", tmp_path, "--model", "mnits", server=server.url, status=2)
    assert "no model is called 'mnits'" in err


def test_a_model_answers_in_this_process(labelled: Path) -> None:
    out, _ = capsnet("evaluate", labelled, "--in-process", "--model", "mnist", server="http://127.0.0.1:1")
    assert json.loads(out.splitlines()[-1])["images"] == 40
