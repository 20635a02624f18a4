"""Many images: in order, in batches, a few at a time, and one bad one hurts no other."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsnet import CapsnetError, Classification, Client
from capsnet.client.batching import BATCH_BYTES, BATCH_IMAGES, groups, in_order
from tests.app.server_process import Server, png, serving
from training.data.datasets import DatasetPart


def test_results_come_in_order_and_one_bad_image_is_an_error_in_its_place(
    server: Server, digits: DatasetPart, tmp_path: Path
) -> None:
    images: list[bytes | Path] = [png(pixels[0]) for pixels in digits.images[:70]]
    images[3], images[40], images[69] = b"no image", tmp_path / "missing.png", b""
    with Client(server.url) as client:
        outcomes = list(client.classify_many(images))
        assert len(outcomes) == 70
        for index, (image, outcome) in enumerate(zip(images, outcomes, strict=True)):
            if index in (3, 40, 69):
                assert isinstance(outcome, CapsnetError)
            else:
                assert isinstance(outcome, Classification)
                if index % 10 == 0:
                    assert outcome.label == client.classify(image).label
    bad = [outcome.kind for outcome in outcomes if isinstance(outcome, CapsnetError)]
    assert bad == ["not-an-image", "unreadable-file", "not-an-image"]


@pytest.mark.parametrize("image", ["digits/seven.png", b"bytes", Path("seven.png")])
def test_one_image_is_not_many(image: Any) -> None:
    with Client(api_key="x") as client, pytest.raises(TypeError, match="should be a list of images, not"):
        list(client.classify_many(image))


def test_no_request_under_way_is_no_way_to_ask() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ValueError, match="jobs is 0"):
        list(client.classify_many([b"any"], jobs=0))


def test_a_service_that_takes_few_at_a_time_gets_fewer(
    tiny_models: Path, tmp_path: Path, digits: DatasetPart
) -> None:
    images = [png(pixels[0]) for pixels in digits.images[:70]]
    with serving(tmp_path / "log", models=tiny_models, max_queue=8) as running, Client(running.url) as client:
        outcomes = list(client.classify_many(images, jobs=1))
    assert all(isinstance(outcome, Classification) for outcome in outcomes)
    assert len(outcomes) == 70


def test_what_is_wrong_with_every_image_is_raised(server: Server, seven: bytes) -> None:
    with Client(server.url) as client, pytest.raises(CapsnetError, match="no model is called 'x'"):
        list(client.classify_many([seven] * 3, model="x"))
    with Client("http://127.0.0.1:1", retries=0) as client, pytest.raises(CapsnetError, match="cannot be"):
        list(client.classify_many([seven]))


@given(st.lists(st.integers(0, 2 * BATCH_BYTES), max_size=200))
def test_batches_are_bounded_and_lose_nothing(sizes: list[int]) -> None:
    class Sized:
        def __init__(self, nbytes: int) -> None:
            self.nbytes = nbytes

    images = list(map(Sized, sizes))
    batches = list(groups(images))  # type: ignore[arg-type]
    assert [image for batch in batches for image in batch] == images
    for batch in batches:
        assert 1 <= len(batch) <= BATCH_IMAGES
        assert len(batch) == 1 or sum(image.nbytes for image in batch) <= BATCH_BYTES  # type: ignore[union-attr, misc]


def test_no_more_than_the_jobs_are_under_way_and_few_items_are_taken_ahead() -> None:
    lock = threading.Lock()
    busy = most = taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    def work(item: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.001 * (item % 3))
        with lock:
            busy -= 1
        return item

    for place, result in enumerate(in_order(work, items(), jobs=3)):
        assert result == place
        assert taken - place <= 2 * 3 + 1
    assert most <= 3
    assert taken == 100
