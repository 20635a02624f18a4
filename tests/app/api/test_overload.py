"""More than can be answered at once: who waits, who is refused, and what a refusal says."""

import contextlib
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.server_process import Server, png, serving, wait_until

HEAD = b"POST /classify?verify=false HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@contextlib.contextmanager
def busy(server: Server) -> Iterator[None]:
    """The only place of the service is taken for a while, by an image that takes long to read."""
    pixels = np.zeros((6900, 6900, 4), np.uint8)
    pixels[1000:5000, 3000:3400] = 255
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=60) as client:
        answer = pool.submit(client.post, "/classify", files={"file": png(pixels)})
        with httpx.Client(base_url=server.url, timeout=60) as other:
            wait_until(
                lambda: other.post("/decode", json={"label": 1, "pose": [0.0] * 16}).status_code == 503
            )
        yield
        assert not answer.done(), "the image was read sooner than the test was over"
        assert answer.result().status_code == 200


@pytest.fixture(scope="module")
def one_place(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    settings = {"max_queue": 1, "max_wait": 3, "trusted_proxies": "127.0.0.1", "log_format": "json"}
    with serving(log, models=tiny_models, **settings) as running:
        yield running


def ask(server: Server, image: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/classify", image, {"Content-Type": "image/png", **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_who_finds_no_place_at_all_is_told_when_to_return(one_place: Server, seven: bytes) -> None:
    with busy(one_place):
        origin = {"Origin": "https://example.org"}  # goes through uvicorn's parser
        for more in ({}, origin):
            status, headers, body = ask(one_place, seven, **{"X-Request-ID": "abc.1", **more})
            assert (status, headers["x-request-id"]) == (503, "abc.1")
            assert headers["retry-after"] == "3"
            assert json.loads(body)["type"] == "urn:problem-type:capsnet:queue-full"
            assert "1 items are waiting or in work, of at most 1" in json.loads(body)["detail"]
    wait_until(lambda: one_place.client.post("/classify", files={"file": seven}).status_code == 200)


def test_refusals_are_counted_and_logged_with_the_client_behind_a_proxy(
    one_place: Server, seven: bytes
) -> None:
    pattern = r'capsnet_http_requests_total\{method="POST",route="/classify",status="503"\} (\S+)'

    def refused() -> float:
        found = re.search(pattern, one_place.client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    before = refused()
    with busy(one_place):
        for number in range(5):
            forwarded = {
                "X-Forwarded-For": "192.0.2.1, 198.51.100.7",
                "X-Request-ID": f"counted-{number}",
            }
            assert ask(one_place, seven, **forwarded)[0] == 503
    assert refused() == before + 5
    lines = [json.loads(line) for line in one_place.log.read_text().splitlines()]
    clients = {line["request_id"]: line["client"] for line in lines if "request_id" in line}
    assert all(clients[f"counted-{number}"] == "198.51.100.7" for number in range(5))


def test_who_has_waited_for_the_longest_time_is_refused_while_probes_are_answered(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    """Three batches of large images are all the work that there may be at a time, and a fourth one waits."""
    pixels = np.zeros((2400, 2400, 3), np.uint8)
    pixels[400:1800, 1000:1200] = 255
    files = [("file", png(pixels))] * 20
    with (
        serving(tmp_path / "log", models=tiny_models, max_wait=1, max_batch=1) as running,
        ThreadPoolExecutor(4) as pool,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        batches = [pool.submit(client.post, "/classify/batch", files=files) for _ in range(4)]
        with httpx.Client(base_url=running.url, timeout=60) as other:

            def waits() -> bool:
                found = re.search(
                    r'capsnet_queue_items\{model="",stage="admission"\} (\S+)', other.get("/metrics").text
                )
                return found is not None and float(found[1]) > 0

            wait_until(waits)
            started = time.monotonic()
            status, headers, body = ask(running, seven)
            waited = time.monotonic() - started
            started = time.monotonic()
            assert other.get("/health/ready").status_code == 200
            assert time.monotonic() - started < 1
        assert status == 503
        assert 1 <= waited < 4
        assert headers["retry-after"] == "1"
        assert "no place within 1 s" in json.loads(body)["detail"]
        assert 200 in {batch.result().status_code for batch in batches}
        assert ask(running, seven)[0] == 200


def test_hundreds_of_connections_at_once_are_all_answered(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    """Far more than may be in work: the others wait in line, and none is refused."""
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with (
        serving(tmp_path / "log", models=tiny_models, max_wait=30) as running,
        contextlib.ExitStack() as all_,
    ):
        connections = [
            all_.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=30))
            for _ in range(600)
        ]
        for connection in connections:
            connection.sendall(request)
        assert {connection.recv(12)[9:] for connection in connections} == {b"200"}


def test_a_client_that_leaves_the_line_leaves_no_trace(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with serving(tmp_path / "log", models=tiny_models, max_queue=400) as running:
        for _ in range(5):  # 1,500 requests, of which 400 may be there at a time
            connections = [
                socket.create_connection(("127.0.0.1", running.port), timeout=30) for _ in range(300)
            ]
            for connection in connections:
                connection.sendall(request)
            for connection in connections:
                connection.close()
        wait_until(lambda: ask(running, seven)[0] == 200)
        pattern = r'capsnet_queue_items\{model="",stage="admission"\} 0\.0'
        wait_until(lambda: re.search(pattern, running.client.get("/metrics").text) is not None)


def test_answers_come_in_the_order_of_the_requests(one_place: Server, seven: bytes) -> None:
    """The second of two requests sent at once takes the place, and a third comes while it is in work."""
    drawing = np.zeros((7000, 7000), np.uint8)
    drawing[1000:5000, 3000:3400] = 255
    large, small = (
        HEAD + b"X-Request-ID: %b\r\nContent-Length: %d\r\n\r\n" % (name, len(body)) + body
        for name, body in ((b"second", png(drawing)), (b"third", seven))
    )
    first = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: first\r\n\r\n"
    with socket.create_connection(("127.0.0.1", one_place.port), timeout=20) as connection:
        connection.sendall(first + large)
        time.sleep(0.1)
        connection.sendall(small)
        received = b""
        while b"third" not in received:
            received += connection.recv(65536)
    assert re.findall(rb"x-request-id: (\w+)", received) == [b"first", b"second", b"third"]
