"""The short refusal of a full service: the same answer as the long one, and never to anything but a whole request."""

import asyncio
import contextlib
import http.client
import io
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.server.http_head import whole_request
from app.server.load_shedding import AT_A_TIME, PAUSE_S
from app.server.protocol import CapsnetProtocol
from tests.app.server_process import Server, png, serving, wait_until

HEAD = b"POST /classify?verify=false HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
PLAIN = HEAD + b"Content-Length: 4\r\n\r\nbody"


def test_a_plain_request_is_known_by_its_path() -> None:
    for data in (PLAIN, PLAIN.replace(b"image/png", b"image/png\r\nConnection: keep-alive")):
        head = whole_request(data)
        assert head is not None
        assert head.path == "/classify"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"body",
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN + PLAIN,
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"Content-Length: 4\r\n", b""),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: 4"),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: +4"),
        PLAIN.replace(b"Content-Length: 4", b"X: y\nContent-Length: 4"),
        PLAIN.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked\r\nContent-Length: 4"),
        PLAIN.replace(b"Content-Length: 4", b"transfer-encoding : chunked\r\nContent-Length: 4"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nConnection: close"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nUpgrade: websocket"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nOrigin: https://example.org"),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: " + b"0" * 5000 + b"4"),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length:\t9"),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: +9"),
        PLAIN.replace(b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length : 9"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nTransfer-Encoding\t: chunked"),
        PLAIN.replace(b"Host: x", b"Host: x\r\n folded"),
        PLAIN.replace(b"Host: x", b"Host: x\x00"),
        PLAIN.replace(b"Host: x", b"Host: x\r\nno header"),
    ],
)
def test_anything_else_is_not(data: bytes) -> None:
    assert whole_request(data) is None


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(0, len(PLAIN)))
def test_no_bytes_around_or_within_it_pass_for_one_request(before: bytes, after: bytes, cut: int) -> None:
    if before:
        assert whole_request(before + PLAIN) is None
    if after:
        assert whole_request(PLAIN + after) is None
    inserted = PLAIN[:cut] + after + PLAIN[cut:]
    if (
        whole_request(inserted) is not None
    ):  # within the head, where it may say what it likes but where that ends
        head, _, body = inserted.partition(b"\r\n\r\n")
        lengths = re.findall(rb"(?i)content-length: *(\d+)", head)
        assert [int(length) for length in lengths[-1:]] == [len(body)]


@contextlib.contextmanager
def busy(server: Server) -> Iterator[None]:
    """The only place in the queue is taken for a while, by a picture that takes long to read."""
    pixels = np.zeros((6900, 6900, 4), np.uint8)
    pixels[1000:5000, 3000:3400] = 255
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=60) as client:
        answer = pool.submit(client.post, "/classify", files={"file": png(pixels)})
        with httpx.Client(base_url=server.url, timeout=60) as other:
            wait_until(
                lambda: other.post("/decode", json={"label": 1, "pose": [0.0] * 16}).status_code == 503
            )
        yield
        assert not answer.done(), "the picture was read sooner than the test was over"
        assert answer.result().status_code == 200


@pytest.fixture(scope="module")
def one_place(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    settings = {"max_queue": 1, "trusted_proxies": "127.0.0.1", "log_format": "json"}
    with serving(log, models=tiny_models, **settings) as running:
        yield running


def ask(
    connection: http.client.HTTPConnection, picture: bytes, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection.request("POST", "/classify", picture, {"Content-Type": "image/png", **headers})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_short_refusal_is_the_long_one(one_place: Server, seven: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", one_place.port, timeout=20)
    with contextlib.closing(connection), busy(one_place):
        origin = {"Origin": "https://example.org"}  # goes all the way: other headers may be due
        short, long = (ask(connection, seven, **{"X-Request-ID": "abc.1", **more}) for more in ({}, origin))
        unnamed = ask(connection, seven)
    assert short[0] == long[0] == 503
    assert short[1] | {"date": ""} == long[1] | {"date": ""}
    assert short[2] == long[2]
    assert short[1]["retry-after"] == "1"
    assert json.loads(short[2])["type"] == "urn:problem-type:capsnet:queue-full"
    assert re.fullmatch("[0-9a-f]{32}", unnamed[1]["x-request-id"])
    wait_until(lambda: one_place.client.post("/classify", files={"file": seven}).status_code == 200)


def test_it_is_counted_and_logged(one_place: Server, seven: bytes) -> None:
    pattern = r'capsnet_http_requests_total\{method="POST",route="/classify",status="503"\} (\S+)'

    def refused() -> float:
        found = re.search(pattern, one_place.client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    before = refused()
    connection = http.client.HTTPConnection("127.0.0.1", one_place.port, timeout=20)
    with contextlib.closing(connection), busy(one_place):
        for number in range(5):
            assert ask(connection, seven, **{"X-Request-ID": f"counted-{number}"})[0] == 503
    assert refused() == before + 5
    log = one_place.log.read_text()
    assert all(f"counted-{number}" in log for number in range(5))


def test_the_rest_of_a_body_is_never_taken_for_a_request(one_place: Server, seven: bytes) -> None:
    """A body whose second piece looks like a request: one answer, to the one request."""
    piece = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with socket.create_connection(("127.0.0.1", one_place.port), timeout=20) as connection:
        with busy(one_place):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (10 + len(piece)) + bytes(10))
            time.sleep(0.05)
            connection.sendall(piece)
            time.sleep(0.1)
        connection.shutdown(socket.SHUT_WR)
        received = io.BytesIO()
        while data := connection.recv(65536):
            received.write(data)
    assert received.getvalue().count(b"HTTP/1.1 ") == 1


def test_hundreds_of_connections_at_once_are_all_taken(server: Server, seven: bytes) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(400)
        ]
        for connection in connections:
            connection.sendall(request)
        statuses = {connection.recv(12)[9:] for connection in connections}
    assert statuses <= {b"200", b"503"}
    assert b"200" in statuses


def test_a_crowd_before_a_full_house_is_told_so_one_by_one(one_place: Server, seven: bytes) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", one_place.port), timeout=30))
            for _ in range(2 * AT_A_TIME + 10)
        ]
        with busy(one_place):
            for connection in crowd[:-1]:
                connection.sendall(request)
            crowd[-1].sendall(request[:-10])  # the rest of it comes later
            answers = [connection.recv(12)[9:] for connection in crowd[:-1]]
            crowd[-1].sendall(request[-10:])
            answers.append(crowd[-1].recv(12)[9:])
    assert set(answers) == {b"503"}


def test_a_client_that_asks_again_at_once_is_refused_at_a_pace(one_place: Server, seven: bytes) -> None:
    """Refused as fast as it can ask, it would take the time of those that were let in."""
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(seven) + seven
    with busy(one_place), socket.create_connection(("127.0.0.1", one_place.port), timeout=30) as client:
        started, refused = time.monotonic(), 0
        while refused < 6:
            client.sendall(request)
            assert client.recv(65536)[9:12] == b"503"
            refused += 1
        assert 5 * PAUSE_S < time.monotonic() - started < 5


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


class Sink(asyncio.Transport):
    """A client that says nothing and hears nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


KEEP_ALIVE = 0.2


class Nobody:
    """Refuses no request."""

    arrived = 0

    def puts_off(self, *_: object) -> bool:
        return False

    def answer(self, *_: object) -> None:
        return None


class LongWay:
    """Lets no request take the fast path."""

    def may_take(self, *_: object) -> bool:
        return False


def kind_of_connection(app: Any, refusals: Nobody | None = None) -> Callable[[], CapsnetProtocol]:
    """Makes connections to an application that speaks ASGI."""
    config = uvicorn.Config(app, lifespan="off", timeout_keep_alive=KEEP_ALIVE)  # type: ignore[arg-type]
    config.load()
    ways = {
        "refusals": refusals or Nobody(),
        "fast": LongWay(),
        "head_seconds": 30.0,
        "on_connections_changed": [],
    }
    kind: type[CapsnetProtocol] = type("Kind", (CapsnetProtocol,), ways)
    state = ServerState()
    return lambda: kind(config, state, {})


def test_what_is_waited_for_counts_and_who_does_not_read_does_not() -> None:
    """Clients that never read their answers would otherwise fill the queue, and no other request would fit."""

    async def connect() -> list[int]:
        over, refusals, counts = asyncio.Event(), Nobody(), []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await over.wait()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        connection = kind_of_connection(app, refusals)()
        connection.connection_made(Sink())
        steps: list[Callable[[], None]] = [
            lambda: connection.data_received(PLAIN[:-1]),
            lambda: connection.data_received(PLAIN[-1:]),
            connection.pause_writing,
            connection.resume_writing,
            lambda: connection.data_received(PLAIN),
            over.set,
            lambda: connection.data_received(PLAIN[:-1]),
            lambda: connection.data_received(PLAIN[-1:]),
            lambda: connection.connection_lost(None),
        ]
        for step in steps:
            step()
            for _ in range(10 if step == over.set else 0):  # both requests are answered
                await asyncio.sleep(0)
            counts.append(refusals.arrived)
        return counts

    assert asyncio.run(connect()) == [0, 1, 0, 1, 1, 0, 0, 1, 0]


def test_a_request_that_came_while_the_loop_was_busy_is_read_before_its_connection_is_closed() -> None:
    """A loop that was held up runs the timer that closes idle connections first, and reads what came only then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def scenario() -> list[bytes]:
        server = await asyncio.get_running_loop().create_server(kind_of_connection(app), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answers = []
        for _ in range(2):
            writer.write(PLAIN)
            time.sleep(2 * KEEP_ALIVE)  # noqa: ASYNC251  # holds the loop up
            answers.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(2 * KEEP_ALIVE)
        answers.append(await reader.read())
        writer.close()
        server.close()
        return answers

    *answers, end = asyncio.run(scenario())
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 204"}
    assert end == b""


def test_behind_a_proxy_the_client_is_logged(one_place: Server, seven: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", one_place.port, timeout=20)
    with contextlib.closing(connection), busy(one_place):
        forwarded = {"X-Forwarded-For": "192.0.2.1, 198.51.100.7", "X-Request-ID": "forwarded"}
        assert ask(connection, seven, **forwarded)[0] == 503
    lines = map(json.loads, one_place.log.read_text().splitlines())
    assert [line["client"] for line in lines if line.get("request_id") == "forwarded"] == ["198.51.100.7"]
