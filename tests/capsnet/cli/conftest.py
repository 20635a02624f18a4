"""Images for the command."""

from pathlib import Path

import pytest

from tests.app.server_process import png
from training.data.datasets import DatasetPart


@pytest.fixture(scope="session")
def folder(digits: DatasetPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digits in two folders, and a bad image among them."""
    root = tmp_path_factory.mktemp("images")
    for index in range(40):
        path = root / ("even" if index % 2 == 0 else "odd") / f"{index // 2:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(digits.images[index, 0]))
    (root / "even" / "bad.png").write_bytes(b"no image")
    return root
