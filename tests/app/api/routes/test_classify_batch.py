"""POST /classify/batch over real HTTP, against what /classify says of each image."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from app.api.schemas.responses import ClassifyAnswer, Problem
from tests.app.server_process import Server, assert_problem, png, serving
from training.data.datasets import DatasetPart

BROKEN = b"no image"


def batch(client: httpx.Client, images: list[bytes], query: str = "") -> httpx.Response:
    return client.post(f"/classify/batch{query}", files=[("file", image) for image in images])


@pytest.mark.parametrize("query", ["", "?top_k=3&verify=false", "?model=pair", "?reconstruct=true"])
def test_answers_are_those_of_classify_in_order(
    client: httpx.Client, digits: DatasetPart, query: str
) -> None:
    images = [png(pixels[0]) for pixels in digits.images[:20]]
    response = batch(client, images, query)
    assert response.status_code == 200
    answers = response.json()
    TypeAdapter(list[ClassifyAnswer]).validate_python(answers, strict=True)
    assert len(answers) == 20
    for image, answer in zip(images, answers, strict=True):
        alone = client.post(f"/classify{query}", files={"file": image}).json()
        assert answer.keys() == alone.keys()
        assert answer["predictions"][0]["label"] == alone["predictions"][0]["label"]
        np.testing.assert_allclose(answer["lengths"], alone["lengths"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(answer["poses"], alone["poses"], rtol=1e-4, atol=1e-5)


def test_a_bad_image_is_a_problem_in_its_place(client: httpx.Client, seven: bytes) -> None:
    response = batch(client, [BROKEN, seven, b"", seven, seven[:50]])
    assert response.status_code == 200
    answers = response.json()
    TypeAdapter(list[ClassifyAnswer | Problem]).validate_python(answers, strict=True)
    assert [each.get("status") for each in answers] == [400, None, 400, None, 400]
    assert answers[1] == answers[3]
    for bad in answers[::2]:
        assert bad["type"] == "urn:problem-type:capsnet:not-an-image"
        assert bad["instance"] == "/classify/batch"
        assert bad["request_id"] == response.headers["x-request-id"]


def test_a_batch_of_bad_images_is_a_list_of_problems(client: httpx.Client) -> None:
    assert [each["status"] for each in batch(client, [BROKEN, BROKEN]).json()] == [400, 400]


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ([("image", b"x")], 400, ["no field 'file'", "'image'"]),
        ([("file", b"x"), ("top_k", b"3")], 422, ["'top_k'", "query string"]),
        ([("file", b"x")] * 257, 413, ["more than 256", "several requests"]),
    ],
)
def test_other_forms_are_refused(
    client: httpx.Client, files: list[tuple[str, bytes]], status: int, words: list[str]
) -> None:
    assert_problem(client.post("/classify/batch", files=files), status, *words)


def test_only_a_form_holds_many_images(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/classify/batch", content=seven, headers={"Content-Type": "image/png"})
    assert_problem(response, 415, "'image/png'", "multipart/form-data")


def test_a_batch_is_bounded_in_bytes_pixels_and_items(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    limits = {"max_upload": 100_000, "max_pixels": 1000, "max_queue": 20}
    with serving(tmp_path / "log", models=tiny_models, **limits) as running:
        large = png(np.zeros((40, 40), np.uint8))
        assert [each.get("status") for each in batch(running.client, [large, seven]).json()] == [413, None]
        assert_problem(batch(running.client, [seven] * 21), 413, "21 items", "20")
        assert_problem(batch(running.client, [bytes(50_000)] * 2), 413, "100000")
        assert batch(running.client, [seven] * 20).status_code == 200


def test_single_requests_do_not_wait_for_a_batch(server: Server) -> None:
    """The batch is of images that take long to read; another client waits for one of them at most."""
    photograph = np.full((1500, 2000), 200, np.uint8)
    photograph[500:1000, 900:1100] = 20
    slow = png(photograph)
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=120) as other:
        started = time.perf_counter()
        many = pool.submit(batch, other, [slow] * 24)
        waits = []
        while not many.done():
            start = time.perf_counter()
            response = server.client.post("/classify", files={"file": slow})
            assert response.status_code == 200
            waits.append(time.perf_counter() - start)
        taken = time.perf_counter() - started
        assert many.result().status_code == 200
    assert len(waits) >= 3
    assert min(waits) < taken / 4
