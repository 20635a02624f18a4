"""POST /read over real HTTP with the models that ship, and the command that asks it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.schemas.responses import ClassifyAnswer, ReadAnswer
from capsnet import AsyncClient, Client, load
from tests.app.server_process import Server, assert_problem, png, serving
from tests.capsnet.cli.support import capsnet
from training.data.datasets import DatasetPart


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with its shipped models, which reads three digits at most."""
    with serving(tmp_path_factory.mktemp("read") / "log", max_digits=3) as server:
        yield server


@pytest.fixture(scope="module")
def number(digits: DatasetPart) -> bytes:
    """A PNG of 7 2 1 on black, twice as large as their rows, and a 0 in a second line."""
    first = np.concatenate([digits.images[n, 0] for n in range(3)], axis=1)
    second = np.pad(digits.images[3, 0], ((12, 0), (0, 56)))
    return png(np.kron(np.pad(np.concatenate([first, second]), 12), np.ones((3, 3), np.uint8)))


def read(client: httpx.Client, image: bytes, query: str = "") -> httpx.Response:
    return client.post(f"/read{query}", files={"file": image})


def test_a_number_is_read_as_the_library_reads_it(shipped: Server, number: bytes) -> None:
    response = read(shipped.client, number, "?reconstruct=true")
    assert response.status_code == 200
    answer = response.json()
    ReadAnswer.model_validate(answer, strict=True)
    assert (answer["text"], answer["objects_found"]) == ("721", 4)
    expected = load("mnist").read(number, reconstruct=True, most=3)
    for one, other in zip(answer["digits"], expected.answer["digits"], strict=True):
        assert {name: one[name] for name in ("box", "line", "label", "accepted", "certain", "input")} == {
            name: other[name] for name in ("box", "line", "label", "accepted", "certain", "input")
        }
        np.testing.assert_allclose(one["pose"], other["pose"], atol=1e-4)
    plain = read(shipped.client, number).json()
    assert set(plain["digits"][0]) == {"box", "line", "label", "length", "accepted", "certain", "pose"}


def test_a_blank_page_is_an_empty_list(shipped: Server) -> None:
    answer = read(shipped.client, png(np.full((200, 300), 255, np.uint8)))
    assert answer.status_code == 200
    assert answer.json() == {
        "model": "mnist", "version": "1", "text": "", "digits": [], "objects_found": 0
    }  # fmt: skip


@pytest.mark.parametrize("model", ["multimnist", "fashion_mnist"])
def test_models_that_do_not_read_single_digits_are_refused(
    shipped: Server, number: bytes, model: str
) -> None:
    assert_problem(read(shipped.client, number, f"?model={model}"), 422, model)


def test_what_is_no_image_is_a_problem(shipped: Server) -> None:
    assert_problem(read(shipped.client, b"no image"), 400, "not an image")


def test_classify_points_to_read(shipped: Server, number: bytes, seven: bytes) -> None:
    answer = shipped.client.post("/classify", files={"file": number}).json()
    ClassifyAnswer.model_validate(answer, strict=True)
    assert answer["objects_found"] == 4
    assert "/read" in answer["hint"]
    assert "hint" not in shipped.client.post("/classify", files={"file": seven}).json()


def test_clients_read(shipped: Server, number: bytes) -> None:
    with Client(shipped.url) as client:
        found = client.read(number, reconstruct=True)
    assert (found.text, [digit.label for digit in found.digits]) == ("721", ["7", "2", "1"])
    assert found.digits[0].reconstruction is not None

    async def ask() -> str:
        async with AsyncClient(shipped.url) as client:
            return (await client.read(number)).text

    assert asyncio.run(ask()) == "721"


def test_the_command_reads_files(shipped: Server, number: bytes, tmp_path: Path) -> None:
    file = tmp_path / "number.png"
    file.write_bytes(number)
    out, _ = capsnet("read", file, "--format", "jsonl", server=shipped.url)
    assert json.loads(out)["text"] == "721"
    table, _ = capsnet("read", file, "--format", "table", server=shipped.url)
    assert "721" in table
