"""Clients that send without end, or take nothing, or are answered before they have sent all."""

import asyncio
import contextlib
import http.client
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.server import client_transport
from app.server.protocol import MAX_HEAD_BYTES
from tests.app.both_ways import both_ways
from tests.app.in_process_server import within_this_process
from tests.app.server_process import Server, serving, wait_until

server = both_ways()

HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
CHUNKED = (
    b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture(scope="module")
def hasty(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits one second for a head or a body, and asks for a key."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    with serving(log, models=tiny_models, request_timeout=1, api_keys="right") as running:
        yield running


def endless(server: Server, begin: bytes, piece: bytes, most: int) -> tuple[int, bytes]:
    """Send `piece` again and again; how many bytes were sent before the server stopped that, and what it said."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(begin)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < most:
                client.sendall(piece)
                sent += len(piece)
        said = b""
        with contextlib.suppress(OSError):
            said = client.recv(65536)
    return sent, said


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health/live HTTP/1.1\r\n", b"x-filler: " + b"a" * 1000 + b"\r\n"),
        (b"GET /health/live HTTP/1.1\r\nx-one-line: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (
            b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\n",
            b"x: " + b"a" * 1000 + b"\n",
        ),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"x-trailer: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + b"1\r\na\r\n0\r\nx-one-trailer: ", b"a" * 1000),
    ],
    ids=["headers", "one header", "url", "pipelined with bare line feeds", "trailers", "one trailer"],
)
def test_a_head_without_end_is_431_or_no_http(server: Server, begin: bytes, piece: bytes) -> None:
    before = server.memory()
    sent, said = endless(server, begin, piece, 80_000_000)
    assert sent < 80_000_000
    assert b"HTTP/1.1 431 " in said or b"HTTP/1.1 400 " in said or not said
    assert server.memory() - before < 20_000_000


def test_a_head_too_large_is_told_so(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for size, status in ((MAX_HEAD_BYTES - 1000, 200), (3 * MAX_HEAD_BYTES, 431)):
        connection.request("GET", "/health/live", headers={"X-Filler": "a" * size})
        response = connection.getresponse()
        body = response.read()
        assert response.status == status, body
    assert b'"urn:problem-type:capsnet:head-too-large"' in body
    connection.close()


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("trailer", [b"X-API-Key: right", b"Authorization: Bearer right"])
def test_a_trailer_is_no_header(hasty: Server, trailer: bytes, pause: float) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as client:
        for piece in (
            (CHUNKED, b"1\r\na\r\n", b"0\r\n" + trailer + b"\r\n\r\n")
            if pause
            else (CHUNKED + b"1\r\na\r\n0\r\n" + trailer + b"\r\n\r\n",)
        ):
            client.sendall(piece)
            time.sleep(pause)
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "request_head",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
        HEAD + b"Connection: close\r\nContent-Length: 1000\r\n\r\n",
        HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1000\r\n\r\n",
    ],
    ids=["length", "chunked", "expect", "close", "upgrade"],
)
@pytest.mark.parametrize(
    "drips", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["silent", "drips"]
)
def test_a_body_that_is_answered_already_has_a_deadline(
    hasty: Server, request_head: bytes, drips: bool
) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as client:
        client.sendall(request_head)
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
        client.settimeout(0.2)
        ended = False
        while not ended and time.monotonic() - started < client_transport.LINGER_S + 2:
            try:
                if drips:
                    client.sendall(b"1\r\na\r\n" if b"chunked" in request_head else b"a")
                ended = client.recv(100) == b"" and not drips
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended


def early_answer(port: int, path: str, size: int, media: str) -> int:
    """The status that urllib, which sends `Connection: close` and all of its body first, is told."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", bytes(size), {"Content-Type": media})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("path", "size", "media", "status"),
    [
        ("/classify", 25_000_000, "image/jpeg", 413),
        ("/classify", 5_000_000, "text/plain", 415),
        ("/classify/", 5_000_000, "image/jpeg", 404),
        ("/classify?top_k=x", 5_000_000, "image/jpeg", 422),
    ],
)
def test_the_last_word_is_heard(server: Server, path: str, size: int, media: str, status: int) -> None:
    assert [early_answer(server.port, path, size, media) for _ in range(5)] == [status] * 5


def test_an_answer_that_is_owed_comes_before_a_refusal(server: Server, seven: bytes) -> None:
    """The second request is no HTTP, and it is read before the first one is answered."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(head % len(seven) + seven + b"\x16\x03\x01 TLS\r\n\r\n")
        data = b"".join(iter(lambda: client.recv(65536), b""))
    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.count(b"HTTP/1.1 400 ") == 1


def test_an_answer_that_no_client_reads_is_given_up(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_transport, "UNREAD_CHECK_S", 0.3)

    async def scenario(last: bool) -> float:
        async with within_this_process(tiny_models) as (_, state, port):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
                await asyncio.sleep(0.1)
                asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
                end = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                await asyncio.get_running_loop().sock_sendall(client, asked * 60 + (end if last else asked))
                started = time.monotonic()
                await asyncio.sleep(0.2)
                assert state.connections
                for _ in range(100):
                    await asyncio.sleep(0.05 if state.connections else 0)
                return time.monotonic() - started

    for last in (False, True):
        assert asyncio.run(scenario(last)) < 5


def test_rejected_uploads_leave_the_memory(server: Server) -> None:
    """No exception may keep the body that it was about: forty of 20 MB once took two gigabytes."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(10_000_000)
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + os.urandom(10_000_000)
    cases = [
        ("/classify", "multipart/form-data; boundary=b", form),
        ("/classify", "image/heic", heic),
        ("/reconstruct", "image/heic", heic),
        ("/classify/batch", "multipart/form-data; boundary=b", form),
        ("/decode", "application/json", b'{"label": ' + b" " * 10_000_000),
    ]
    for path, media, body in cases:  # what the first one of each takes, it may keep
        server.client.post(path, content=body, headers={"Content-Type": media})
    before = server.memory()
    for path, media, body in cases * 12:
        answer = server.client.post(path, content=body, headers={"Content-Type": media})
        assert 400 <= answer.status_code < 500, answer.text
    assert server.memory() - before < 50_000_000


def test_many_short_heads_are_not_one_long_one(server: Server) -> None:
    """Pieces that always end within a head: 200 kB in all."""
    stream = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"a" * 900 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(stream[:100])
        for _ in range(200):
            client.sendall(stream[100:] + stream[:100])
            while b"HTTP/1.1 200 " not in client.recv(65536):
                pass


def test_a_bad_body_behind_a_request_in_work_is_told_behind_its_answer(server: Server, seven: bytes) -> None:
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(head % len(seven) + seven + CHUNKED + b"zz\r\n")
        data = b"".join(iter(lambda: client.recv(65536), b""))
    assert data.startswith(b"HTTP/1.1 200 ")
    assert data.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("ask", [b"GET /metrics", b"GET /health/live", b"GET /nothing"])
def test_requests_without_end_behind_each_other_wait_in_the_socket(server: Server, ask: bytes) -> None:
    """Parsed ahead of their turn, those of four seconds once took 900 MB."""
    before = server.memory()
    piece = (ask + b" HTTP/1.1\r\n\r\n") * 2_000
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.setblocking(False)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                client.send(piece)
            with contextlib.suppress(BlockingIOError):
                while client.recv(1_000_000):
                    pass
    assert server.memory() - before < 10_000_000


def test_all_requests_that_came_behind_each_other_are_answered_in_order(server: Server, seven: bytes) -> None:
    """Two hundred of three kinds, in one piece: small, with a body for the parser, and with one for the fast path."""
    post = b"POST /classify%b HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b"
    large = bytes(70_000)
    kinds = [
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (post % (b"", len(large), large), 400),
        (post % (b"?verify=false", len(seven), seven), 200),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ]
    stream = b"".join(data for data, _ in kinds) * 50
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        sending = threading.Thread(target=client.sendall, args=(stream + last,))
        sending.start()
        data = b"".join(iter(lambda: client.recv(65536), b""))
        sending.join()
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]
    assert statuses == [status for _, status in kinds] * 50 + [404]


@pytest.mark.parametrize("size", [5, 1_000, 70_000])
@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_a_client_that_asks_and_leaves_at_once_is_no_error(server: Server, size: int, number: int) -> None:
    """What uvloop knows of the end, the application may not know yet when it answers."""
    before = len(server.log.read_text())
    head = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % size
    )
    for pause in (0, 0.002, 0.01):
        for request in (head + bytes(size), b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.sendall(request * number)
                time.sleep(pause)
    wait_until(lambda: "capsnet_http_requests_in_flight 1.0" in server.client.get("/metrics").text)
    assert "Traceback" not in server.log.read_text()[before:]
