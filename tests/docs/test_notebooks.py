"""The notebooks in docs/ run from top to bottom on the service with its shipped models."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.app.server_process import ROOT, serving

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in notebook.cells), "is kept without its outputs"
    with serving(tmp_path / "log") as server:
        monkeypatch.setenv("CAPSNET_SERVER", server.url)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        runner = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}})
        runner.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = "".join(output.get("text", "") for output in outputs)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert "   7 0.9" in texts, "the seven is a seven"
    assert ": refused" in texts, "the letter is refused"
    assert len(pictures) == 4
