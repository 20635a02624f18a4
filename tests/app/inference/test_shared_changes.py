"""The record of changed models: what it forgets, and what it tells a process that begins."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl")

from app.inference.shared_changes import PROGRESS, SharedChanges


def finished_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_that_begins_is_told_what_the_last_one_serves(tmp_path: Path) -> None:
    changes = SharedChanges(tmp_path)
    assert changes.served() is None
    changes.set_progress(3, {"mnist": "a", "leaves": "b"})
    parent = tmp_path / PROGRESS.format(pid=os.getppid())
    parent.write_text('{"number": 2, "served": {"mnist": "a"}, "error": ""}')
    assert changes.served() == {"mnist": "a", "leaves": "b"}
    changes.leave()
    assert changes.served() == {"mnist": "a"}


def test_changes_of_a_former_start_are_forgotten(tmp_path: Path) -> None:
    changes = SharedChanges(tmp_path)
    changes.add("leaves", "unload")
    former = tmp_path / PROGRESS.format(pid=finished_process())
    former.write_text('{"number": 1, "served": {}, "error": ""}')
    changes.set_progress(1, {})  # as if this process had the number of a former one
    changes.forget_the_dead()
    assert changes.read().unloaded == set()
    assert not list(tmp_path.glob(PROGRESS.format(pid="*")))


def test_changes_that_a_living_process_follows_stay(tmp_path: Path) -> None:
    changes = SharedChanges(tmp_path)
    changes.add("leaves", "unload")
    parent = tmp_path / PROGRESS.format(pid=os.getppid())
    parent.write_text('{"number": 1, "served": {}, "error": ""}')
    changes.forget_the_dead()
    assert changes.read().unloaded == {"leaves"}
