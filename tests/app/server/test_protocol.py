"""Connections that bring no request, half of one, or nothing."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.server.protocol import CapsnetProtocol
from tests.app.both_ways import both_ways
from tests.app.in_process_server import within_this_process
from tests.app.server_process import Server, serving, wait_until

server = both_ways()

HALF = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-"


def answer_to(server: Server, *pieces: bytes, pause: float = 0.0) -> tuple[bytes, dict[str, object]]:
    """Head and problem of all that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause)
        data = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    return head, json.loads(body) if body else {}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("POST /classify?label=ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(), "url query"),
        (b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", "Content-Length"),
        (b"\x16\x03\x01\x00\xa5 TLS", "method"),
    ],
)
def test_what_is_no_http_is_a_problem_like_any_other(server: Server, data: bytes, reason: str) -> None:
    head, problem = answer_to(server, data)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/problem+json" in head
    assert problem["type"] == "urn:problem-type:capsnet:malformed-request"
    assert reason in str(problem["detail"])
    assert f"\r\nx-request-id: {problem['request_id']}".encode() in head
    assert 'route="unmatched",status="400"' in server.client.get("/metrics").text


def test_the_deadline_of_a_head_ends_with_that_head(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    """A head in two pieces left its deadline to the next request on the connection, which was refused for it."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(seven)
    pieces = head[:40], head[40:] + seven
    with (
        serving(tmp_path / "log", models=tiny_models, request_timeout=1) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The second request begins before the deadline of the first one's head, and ends behind it.
        for pauses in ((0.05, 0.82), (0.3, 0.0)):
            for piece, pause in zip(pieces, pauses, strict=True):
                client.sendall(piece)
                time.sleep(pause)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.7)
        # A whole head with its body behind it: only the body is late.
        client.sendall(head)
        time.sleep(0.03)
        client.sendall(seven)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("length", "status"), [(65_000, b"200"), (66_000, b"431"), (73_000, b"431")])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_limit_of_a_head_is_the_same_however_it_comes(
    server: Server, length: int, status: bytes, at_once: bool
) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Big: "
    head += b"a" * (length - len(head) - 4)
    pieces = (head + b"\r\n\r\n",) if at_once else (head, b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(0.05)
        assert client.recv(100).startswith(b"HTTP/1.1 " + status)


PLAIN_AND_LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPGRADING = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


def test_an_offer_to_upgrade_is_passed_over(server: Server, seven: bytes) -> None:
    """As curl --http2 makes it; the body is the request's and no other one."""
    head = b"POST /classify HTTP/1.1\r\nContent-Type: image/png\r\n" + UPGRADING
    head += b"Content-Length: %d\r\n\r\n" % len(seven)
    for pieces in ([head + seven], [head, seven]):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            for piece in (*pieces, PLAIN_AND_LAST):
                client.sendall(piece)
                time.sleep(0.1)
            answers = b"".join(iter(lambda: client.recv(65536), b""))
        assert answers.startswith(b"HTTP/1.1 200 "), answers[:500]
        assert answers.count(b"HTTP/1.1 200 ") == 2
        assert b'"predictions"' in answers


WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize("offer", [UPGRADING.partition(b"\r\n")[2], WEBSOCKET], ids=["h2c", "websocket"])
def test_an_offer_behind_another_request_loses_neither_its_answer_nor_the_next(
    server: Server, offer: bytes
) -> None:
    plain = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
    requests = [plain + b"\r\n", plain + offer + b"\r\n", plain + b"\r\n", PLAIN_AND_LAST]
    for pieces in (requests, [b"".join(requests)]):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.05)
            answers = b"".join(iter(lambda: client.recv(65536), b""))
        assert answers.count(b"HTTP/1.1 200 ") == 4


@pytest.mark.parametrize("body", [b"\r\n", b"Content-Length: 3\r\n\r\nabc"])
def test_an_address_that_is_none_is_a_problem_and_no_traceback(server: Server, body: bytes) -> None:
    connect = b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n" + body
    before = server.log.read_text().count("Traceback")
    start, problem = answer_to(server, connect)
    assert start.startswith(b"HTTP/1.1 400 ")
    assert problem["type"] == "urn:problem-type:capsnet:malformed-request"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + connect)
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"400"]
    assert server.log.read_text().count("Traceback") == before


@pytest.mark.parametrize("cut", [1, 4, 30, 60, 100, 152])
def test_a_body_behind_an_offer_to_upgrade_is_a_body_however_it_is_split(server: Server, cut: int) -> None:
    body = b"GET /health/live HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    head = b"POST /classify HTTP/1.1\r\n" + UPGRADING
    head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    for pieces in ([head[:cut], head[cut:], body], [head[:cut], head[cut:] + body], [head + body]):
        start, problem = answer_to(server, *pieces, pause=0.05)
        assert start.startswith(b"HTTP/1.1 415 ")
        assert "content type is missing" in str(problem["detail"])


def test_a_head_that_does_not_come_to_its_end_is_408(tiny_models: Path, tmp_path: Path) -> None:
    """Also where a byte comes now and then, and behind an answered request; blank lines begin nothing."""
    whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(tmp_path / "log", models=tiny_models, request_timeout=1) as running:
        started = time.monotonic()
        head, problem = answer_to(running, HALF, b"a", b"b", pause=0.3)
        assert 0.9 < time.monotonic() - started < 3
        assert head.startswith(b"HTTP/1.1 408 ")
        assert problem["detail"] == "the head of the request did not come within 1 s"
        started = time.monotonic()
        assert answer_to(running, b"\r\n\r\n") == (b"", {})
        assert time.monotonic() - started < 3
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(whole + HALF)
            data = b"".join(iter(lambda: client.recv(65536), b""))
            assert data.startswith(b"HTTP/1.1 200 ")
            assert data.count(b"HTTP/1.1 408 ") == 1
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            for _ in range(3):  # the time is that of one head, not of all
                client.sendall(HALF)
                time.sleep(0.6)
                client.sendall(b"a: b\r\n\r\n")
                answer = b""
                while not answer.endswith(b'"live"}'):
                    answer += client.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_connection_on_which_nothing_comes_is_closed(tiny_models: Path) -> None:
    async def scenario() -> float:
        async with within_this_process(tiny_models, idle=1) as (_, _, port):
            started = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
            return time.monotonic() - started

    assert 0.9 < asyncio.run(scenario()) < 5


def test_garbage_behind_garbage_is_one_refusal_and_no_traceback(tiny_models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=tiny_models) as running:
        head, _ = answer_to(running, *[b"\x16\x03\x01 TLS\r\n\r\n" * 100] * 20, pause=0.01)
        assert head.startswith(b"HTTP/1.1 400 ")
        text = running.log.read_text()
    assert "Traceback" not in text
    assert text.count("status=400") == 1


PLAIN = (
    b"POST /classify?verify=false HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: image/png\r\nContent-Length: 4\r\n\r\nbody"
)
KEEP_ALIVE = 0.2


class LongWay:
    """Lets no request take the fast path."""

    def may_take(self, *_: object) -> bool:
        return False


def kind_of_connection(app: Any) -> Callable[[], CapsnetProtocol]:
    """Makes connections to an application that speaks ASGI."""
    config = uvicorn.Config(app, lifespan="off", timeout_keep_alive=KEEP_ALIVE)  # type: ignore[arg-type]
    config.load()
    ways = {
        "fast": LongWay(),
        "head_seconds": 30.0,
        "on_connections_changed": [],
    }
    kind: type[CapsnetProtocol] = type("Kind", (CapsnetProtocol,), ways)
    state = ServerState()
    return lambda: kind(config, state, {})


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


def test_what_a_client_sends_forges_no_line_of_the_console(tiny_models: Path, tmp_path: Path) -> None:
    """A path may hold any character, by its percent sign."""
    with serving(tmp_path / "log", models=tiny_models, log_format="console") as server:
        server.client.get("/%1b[2J%0d%0a2026-01-01 forged%00%c2%9b")
        server.client.get("/models", headers={"X-Request-ID": "a\tb"})
        wait_until(lambda: "/models" in server.log.read_text())
        log = server.log.read_bytes().decode()
    assert "forged" in log
    assert not any(line.startswith("2026-01-01") for line in log.splitlines())
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)", log)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs a socket for IPv4 and IPv6")
@pytest.mark.parametrize("fast_path", [1, 0])
def test_a_trusted_proxy_is_known_on_a_socket_for_both_versions(
    fast_path: int, tiny_models: Path, seven: bytes, tmp_path: Path
) -> None:
    """The system writes an IPv4 address as ::ffff:127.0.0.1 there."""
    settings = {"host": "::", "trusted_proxies": "127.0.0.1", "fast_path": fast_path, "log_format": "json"}
    with serving(tmp_path / "log", models=tiny_models, **settings) as server:
        headers = {"X-Forwarded-For": "198.51.100.7"}
        server.client.post("/classify", content=seven, headers=headers | {"Content-Type": "image/png"})
        wait_until(lambda: "/classify" in server.log.read_text())
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if "/classify" in line]
    assert [line["client"] for line in lines] == ["198.51.100.7"]
