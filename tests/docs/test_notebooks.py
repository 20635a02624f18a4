"""The notebooks in docs/ run from top to bottom, without a service, to the outputs with which they are kept.

`WRITE_NOTEBOOKS=1` writes the outputs again.
"""

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.app.server_process import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

# Bytes of a notebook with its outputs.
LARGEST = 100_000

NUMBER = r"-?\d+(?:\.\d*)?"
AGAIN = "the outputs have changed; WRITE_NOTEBOOKS=1 writes them again"


def texts(cell: Any) -> str:
    """What a cell shows, as text; bars and images are left out."""
    outputs = cell.get("outputs", [])
    html = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    plain = "".join(output.get("text", "") for output in outputs)
    return plain.replace("█", "") + re.sub("<[^>]*>", " ", html)


def assert_alike(found: str, kept: str) -> None:
    """The words are the same, and the numbers as near as those of two processors."""
    assert re.sub(NUMBER, "#", found).split() == re.sub(NUMBER, "#", kept).split(), AGAIN
    numbers, others = (list(map(float, re.findall(NUMBER, text))) for text in (found, kept))
    assert numbers == pytest.approx(others, abs=0.05), AGAIN


def images(cell: Any) -> int:
    """How many images a cell shows."""
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return sum(each.get("text/html", "").count("<img") or "image/png" in each for each in data)


def without_volatile(notebook: Any) -> Any:
    """The notebook without what changes from run to run."""
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_to_its_outputs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in [name for name in os.environ if name.startswith("CAPSNET_")]:
        monkeypatch.delenv(name)
    runner = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
    runner.execute()
    if os.environ.get("WRITE_NOTEBOOKS"):
        kept = without_volatile(notebook)
        nbformat.write(kept, path)  # type: ignore[no-untyped-call]
    for cell, again in zip(kept.cells, notebook.cells, strict=True):
        assert_alike(texts(again), texts(cell))
        assert images(cell) == images(again)
    everything = "".join(map(texts, notebook.cells))
    assert "   7 0.9" in everything, "the seven is a seven"
    assert ": refused" in everything, "the letter is refused"
    assert sum(map(images, notebook.cells)) == 13
    assert path.stat().st_size < LARGEST
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|Users)/", path.read_text()), "an absolute path"
