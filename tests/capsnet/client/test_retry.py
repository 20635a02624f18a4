"""Asking again: as the server says, with patience otherwise, and never for ever."""

import asyncio
import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsnet import AsyncClient, CapsnetError, Client
from capsnet.client.retry import FIRST_PAUSE_S, RetryPolicy
from capsnet.errors import parse_retry_after
from tests.app.api.test_request_limits import begin
from tests.app.server_process import free_port, serving
from tests.capsnet.client.scripted_server import Reply, scripted

READY = Reply(200, b'{"status": "ready"}')
FULL = Reply(
    503,
    b'{"type": "urn:problem-type:capsnet:queue-full", "title": "The queue is full", "status": 503, "detail": "full"}',
    {"Content-Type": "application/problem+json", "Retry-After": "1"},
)
LIMITED = Reply(429, b"slow down", {"Retry-After": "0"})
CLOSED = Reply(None)
ANSWER = {
    "model": "mnist",
    "version": "1",
    "predictions": [{"index": 0, "label": "a", "length": 0.9}],
    "lengths": [0.9],
    "poses": [[0.9, 0.0]],
}


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    pauses: list[tuple[str, float]] = []

    def note(error: CapsnetError, pause: float) -> None:
        pauses.append((error.kind, pause))

    with scripted(FULL, LIMITED, CLOSED, READY) as server, Client(server.url, on_retry=note) as client:
        start = time.monotonic()
        assert client.ready()
        assert time.monotonic() - start >= 1
    assert [kind for kind, _ in pauses] == ["queue-full", "not-the-service", "unreachable"]
    assert 1 <= pauses[0][1] <= 1.25
    assert pauses[1][1] == 0
    assert len(server.requests) == 4


def test_the_asynchronous_client_has_the_same_patience() -> None:
    async def ask(url: str) -> bool:
        async with AsyncClient(url) as client:
            return await client.ready()

    with scripted(LIMITED, CLOSED, READY) as server:
        assert asyncio.run(ask(server.url))
    assert len(server.requests) == 3


def test_an_image_of_a_batch_that_finds_no_memory_is_sent_again(seven: bytes) -> None:
    batch = Reply(200, json.dumps([ANSWER, json.loads(FULL.body)]).encode())
    single = Reply(200, json.dumps(ANSWER | {"version": "2"}).encode())
    with scripted(batch, single) as server, Client(server.url) as client:
        found = list(client.classify_many([seven, seven]))
    assert [each.version for each in found if not isinstance(each, CapsnetError)] == ["1", "2"]


def test_a_large_image_that_a_proxy_refuses_ends_no_run(seven: bytes) -> None:
    """It answers a page of its own, for the batch, for its half with the large image, and for this alone."""
    refused = Reply(413, b"<html>Request Entity Too Large</html>", {"Content-Type": "text/html"})
    good = Reply(200, json.dumps(ANSWER).encode())
    with scripted(refused, good, refused) as server, Client(server.url) as client:
        first, second = client.classify_many([seven, seven])
    assert not isinstance(first, CapsnetError)
    assert isinstance(second, CapsnetError)
    assert second.status == 413


def test_a_service_that_is_really_full(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    """No space for another body until those of other clients have gone: 503, and then an answer."""
    size = 200_000
    refusals: list[CapsnetError] = []
    with (
        serving(tmp_path / "log", models=tiny_models, max_upload=size) as running,
        contextlib.ExitStack() as others,
    ):

        def refused(error: CapsnetError, pause: float) -> None:
            refusals.append(error)
            others.close()

        with Client(running.url, on_retry=refused, retries=20) as client:
            while not refusals:
                others.enter_context(begin(running, size, bytes(size - 1)))
                time.sleep(0.02)
                assert client.classify(seven).model == "mnist"
    assert refusals[0].status == 503
    assert refusals[0].retry_after == 1


def test_repetitions_and_time_are_limited() -> None:
    with scripted(FULL) as server:
        with Client(server.url, retries=1) as client, pytest.raises(CapsnetError, match="full"):
            client.ready()
        assert len(server.requests) == 2
    with scripted(Reply(503, headers={"Retry-After": "60"})) as server:
        start = time.monotonic()
        with Client(server.url, retries=100, timeout=30) as client, pytest.raises(CapsnetError):
            client.ready()
        assert time.monotonic() - start < 20, "the pause would have ended after the timeout"


def test_a_server_that_never_answers_is_left_after_the_timeout() -> None:
    with scripted(Reply(200, delay=30)) as server, Client(server.url, retries=3, timeout=0.5) as client:
        start = time.monotonic()
        with pytest.raises(CapsnetError, match="cannot be reached") as error:
            client.ready()
        assert time.monotonic() - start < 20
        assert error.value.kind == "unreachable"


def test_an_answer_that_drips_is_left_after_the_timeout() -> None:
    async def ask_in_a_loop(url: str) -> None:
        async with AsyncClient(url, retries=0, timeout=0.5) as client:
            await client.ready()

    with scripted(Reply(200, b"x" * 40, drip=0.2)) as server:
        for ask in (
            lambda: Client(server.url, retries=0, timeout=0.5).ready(),
            lambda: asyncio.run(ask_in_a_loop(server.url)),
        ):
            start = time.monotonic()
            with pytest.raises(CapsnetError, match="took too long"):
                ask()
            assert time.monotonic() - start < 4, "all of the answer takes eight seconds"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, b"<html>", {"Content-Type": "application/problem+json"}),
        Reply(400, b"[]", {"Content-Type": "application/problem+json"}),
        Reply(200, b"plain", {"Content-Encoding": "gzip"}),
    ],
)
def test_what_is_not_the_service_is_an_error_like_any_other(reply: Reply) -> None:
    def ask_at_once(url: str) -> None:
        with Client(url, retries=0) as client:
            client.models()

    async def ask_in_a_loop(url: str) -> None:
        async with AsyncClient(url, retries=0) as client:
            await client.models()

    with scripted(reply) as server:
        with pytest.raises(CapsnetError) as first:
            ask_at_once(server.url)
        with pytest.raises(CapsnetError) as second:
            asyncio.run(ask_in_a_loop(server.url))
    assert first.value.kind == second.value.kind == "not-the-service"


def test_a_problem_without_a_status_has_that_of_its_answer() -> None:
    busy = Reply(503, b'{"title": "busy"}', {"Content-Type": "application/problem+json", "Retry-After": "0"})
    with scripted(busy, READY) as server, Client(server.url) as client:
        assert client.ready()
        assert len(server.requests) == 2


def test_what_cannot_succeed_is_not_repeated() -> None:
    wrong = Reply(401, b'{"detail": "no key", "status": 401}', {"Content-Type": "application/problem+json"})
    with scripted(wrong) as server, Client(server.url) as client:
        with pytest.raises(CapsnetError, match="no key"):
            client.ready()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, b"<html>"), "has another form than expected"),
        (Reply(200, b"[]"), "has another form than expected"),
        (Reply(301, headers={"Location": "https://elsewhere/"}), "a redirection to https://elsewhere/"),
        (Reply(404, b"<p>Nothing  here</p>"), "404 Not Found: <p>Nothing here</p>"),
    ],
)
def test_another_server_is_told_from_the_service(reply: Reply, words: str) -> None:
    with scripted(reply) as server, Client(server.url) as client:
        with pytest.raises(CapsnetError) as error:
            client.ready()
        assert words in str(error.value)
        assert error.value.kind == "not-the-service"


def test_the_key_travels_as_a_bearer_token() -> None:
    with scripted(READY) as server, Client(server.url, api_key="k-1") as client:
        client.ready()
        assert server.requests[0][1]["Authorization"] == "Bearer k-1"


def test_close_ends_the_wait_for_a_repetition() -> None:
    began = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        client = Client(f"http://127.0.0.1:{free_port()}", retries=50, on_retry=lambda *_: began.set())
        asked = pool.submit(client.ready)
        assert began.wait(10)
        client.close()
        assert isinstance(asked.exception(timeout=5), CapsnetError)


@given(st.integers(0, 12), st.floats(0.1, 100))
def test_pauses_grow_and_end_before_the_time_is_over(made: int, timeout: float) -> None:
    attempts = RetryPolicy(retries=10, timeout=timeout, made=made)
    lost = CapsnetError("", kind="unreachable")
    try:
        pause = attempts.pause_after(lost)
    except CapsnetError:
        assert made >= 10 or FIRST_PAUSE_S * 2**made * 1.25 >= timeout - 1
    else:
        assert FIRST_PAUSE_S * 2**made <= pause <= min(FIRST_PAUSE_S * 2**made * 1.25, timeout)


@given(st.integers(0, 10**6))
def test_retry_after_is_seconds_or_a_date(seconds: int) -> None:
    assert parse_retry_after(str(seconds)) == seconds
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(date) == pytest.approx(seconds, abs=2)
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@given(st.text())
def test_any_other_retry_after_is_none_and_no_crash(text: str) -> None:
    wait = parse_retry_after(text)
    assert wait is None or wait >= 0
