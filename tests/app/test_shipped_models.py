"""The models that ship with the repository, served as they are: does the service give what their cards promise?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.server_process import Server, png, serving
from training.data.datasets import DatasetPart, load


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with nothing set but its port."""
    with serving(tmp_path_factory.mktemp("shipped") / "log") as running:
        yield running


def wrong_answers(client: httpx.Client, split: DatasetPart, model: str) -> int:
    """How many images of the split /classify gets wrong, each sent as a PNG by itself."""

    def is_wrong(index: int) -> bool:
        response = client.post(
            "/classify",
            params={"model": model, "verify": "false"},
            content=png(split.images[index, 0]),
            headers={"Content-Type": "image/png"},
        )
        assert response.status_code == 200, response.text
        return int(response.json()["predictions"][0]["index"]) != int(split.labels[index])

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(is_wrong, range(len(split.labels))))


def test_is_ready_within_its_time(tmp_path: Path) -> None:
    """Three seconds; those of the processor are counted, because a test may run beside other work."""
    with serving(tmp_path / "log") as running:
        assert running.cpu_seconds() < 3


def test_keeps_to_its_memory(shipped: Server, digits: DatasetPart) -> None:
    """215 MB, of which the five models take 100, after requests of every kind."""
    assert shipped.resident() < 215_000
    for pixels in digits.images[:20]:
        for route in ("/classify", "/reconstruct?dim=3&delta=0.1"):
            assert shipped.client.post(route, files={"file": png(pixels[0])}).status_code == 200
    poses = np.zeros((64, 16)).tolist()
    assert shipped.client.post("/decode", json={"label": 7, "poses": poses}).status_code == 200
    assert shipped.resident() < 215_000


def test_mnist_is_the_default_and_reads_digits(shipped: Server, digits: DatasetPart) -> None:
    assert shipped.client.get("/models").json()["default"] == "mnist"
    assert wrong_answers(shipped.client, digits, "mnist") <= 3


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (1, 40)])
@pytest.mark.parametrize("model", ["mnist", "multimnist"])
def test_a_blank_image_is_not_accepted(shipped: Server, model: str, size: tuple[int, int]) -> None:
    """By the formula its threshold would lie below zero, where no distance does."""
    blank = png(np.zeros(size, np.uint8))
    answer = shipped.client.post("/classify", params={"model": model}, files={"file": blank}).json()
    assert answer["reconstruction"]["accepted"] is False
    assert answer["reconstruction"]["threshold"] == 0


def test_most_digits_are_accepted(shipped: Server, digits: DatasetPart) -> None:
    answers = [
        shipped.client.post("/classify", files={"file": png(pixels[0])}).json() for pixels in digits.images
    ]
    assert np.mean([answer["reconstruction"]["accepted"] for answer in answers]) >= 0.88


@pytest.mark.data
@pytest.mark.slow
def test_the_whole_test_set_over_http_gives_the_error_on_the_card(shipped: Server, data_folder: Path) -> None:
    card = shipped.client.get("/models/mnist").json()
    metrics = card["variants"][card["serving"]["precision"]]["metrics"]
    split = load("mnist", "test", data_folder)
    assert len(split.labels) == metrics["images"] == 10_000
    assert wrong_answers(shipped.client, split, "mnist") == metrics["errors"]
