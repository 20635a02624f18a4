"""`make` makes an environment again where it is of another Python or another folder."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment(folder: Path, python: str, clone: Path | str) -> Path:
    """A folder that looks like a finished environment whose Python is this script."""
    packages = folder / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "capsnet-clone.pth").write_text(f"{clone}\n")
    (folder / "pyvenv.cfg").write_text("version = 3.11\n")
    (folder / "bin").mkdir()
    for name in ("python", "capsnet"):
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{python}\n")
        (folder / "bin" / name).chmod(0o755)
    for name in ("runtime-cpu", "serve"):
        (folder / f"{name}.installed").touch()
    return folder


@pytest.mark.parametrize(
    ("python", "moved", "again"),
    [("exit 0", False, False), ("exit 1", False, True), ("exit 0", True, True)],
    ids=["as it was", "another Python", "another folder"],
)
def test_an_environment_lasts_while_its_python_and_its_folder_do(
    python: str, moved: bool, again: bool, tmp_path: Path
) -> None:
    made = environment(tmp_path / "venv", python, "/elsewhere" if moved else ROOT)
    words = ["make", "-n", "install-serve", f"VENV={made}", "RUNTIME=cpu", "PYTHON=python3"]
    shell = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(words, cwd=ROOT, env=shell, capture_output=True, text=True, check=True)
    assert (f"python3 -m venv {made}" in done.stdout) is again
    assert ("pip" in done.stdout and "requirements/serve.txt" in done.stdout) is again
    assert ("capsnet-clone.pth" in done.stdout) is again
