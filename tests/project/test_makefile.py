"""`make` makes an environment again where it is of another Python or another folder."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment(folder: Path, version: str, clone: Path | str) -> Path:
    """A folder that looks like a finished environment of Python 3.11, whose Python now has this version."""
    packages = folder / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "capsnet-clone.pth").write_text(f"{clone}\n")
    (folder / "pyvenv.cfg").write_text("version = 3.11\n")
    (folder / "bin").mkdir()
    for name in ("python", "capsnet"):
        answer = f"echo {folder}/lib/python{version}/site-packages" if version else "exit 1"
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / "bin" / name).chmod(0o755)
    for name in ("runtime-cpu", "serve"):
        (folder / f"{name}.installed").touch()
    return folder


@pytest.mark.parametrize(
    ("version", "moved", "again"),
    [("3.11", False, False), ("3.12", False, True), ("", False, True), ("3.11", True, True)],
    ids=["as it was", "another Python", "no Python", "another folder"],
)
def test_an_environment_lasts_while_its_python_and_its_folder_do(
    version: str, moved: bool, again: bool, tmp_path: Path
) -> None:
    made = environment(tmp_path / "venv", version, "/elsewhere" if moved else ROOT)
    words = ["make", "-n", "install-serve", f"VENV={made}", "RUNTIME=cpu", "PYTHON=python3"]
    shell = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(words, cwd=ROOT, env=shell, capture_output=True, text=True, check=True)
    assert (f"python3 -m venv {made}" in done.stdout) is again
    assert ("pip" in done.stdout and "requirements/serve.txt" in done.stdout) is again
    assert ("capsnet-clone.pth" in done.stdout) is again


def test_a_folder_that_is_no_environment_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "venvs").mkdir()
    (tmp_path / "venvs" / "precious").touch()
    words = [
        "make",
        "-s",
        f"{tmp_path}/venvs/bin/python",
        f"VENV={tmp_path}/venvs",
        "PYTHON=python3",
        "STALE=x",
    ]
    subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (tmp_path / "venvs" / "precious").exists()
