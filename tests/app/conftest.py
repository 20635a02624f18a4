"""The service as a user has it: a process of its own on a free port of the loopback, with real graphs behind it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from capsnet.card import PoseDirection
from capsnet.transforms import PROPERTIES
from tests.app.server_process import Server, png, serving
from tests.app.tiny_model import write_card, write_tiny_model
from training.data.datasets import DatasetPart


def direction(name: str, dim: int, *, depends: bool = False) -> PoseDirection:
    """A direction that adds 0.01 to a dimension for one unit; if it `depends`, also 0.001 of that dimension."""
    vector = tuple(0.01 * (place == dim) for place in range(16))
    matrix = tuple(tuple(0.001 * (row == column == dim) for column in range(16)) for row in range(16))
    return PoseDirection(
        property=name,
        unit=PROPERTIES[name].unit,
        minimum=-20.0,
        maximum=20.0,
        vector=vector,
        matrix=matrix if depends else None,
        linearity=0.9,
        agreement=0.9,
        foretold=0.8,
        drawn_slope=1.0,
        drawn_r2=0.9,
        leak=0.1,
        length=1.0,
    )


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models: `mnist`, and `pair` that looks for two of three classes in four dimensions."""
    folder = tmp_path_factory.mktemp("models")
    card = write_tiny_model(folder / "mnist")
    directions = (direction("slant", 0), direction("width", 1, depends=True))
    write_card(folder / "mnist", card, pose_directions=dict.fromkeys(card.classes, directions))
    write_tiny_model(
        folder / "pair", name="pair", num_classes=3, pose_dim=4, objects=2, classes=("cat", "2", "dog")
    )
    return folder


@pytest.fixture(scope="session")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only ask."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, models=tiny_models, log_format="json") as running:
        yield running


@pytest.fixture(scope="session")
def parsing_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same without the fast path: uvicorn's parser reads every request."""
    log = tmp_path_factory.mktemp("parsing_server") / "log"
    with serving(log, models=tiny_models, log_format="json", fast_path=0) as running:
        yield running


@pytest.fixture
def client(server: Server) -> httpx.Client:
    """A client of that server."""
    return server.client


@pytest.fixture(scope="session")
def seven(digits: DatasetPart) -> bytes:
    """A PNG of the first test image of MNIST, a 7."""
    assert digits.labels[0] == 7
    return png(digits.images[0, 0])
