"""Bodies that do not come to their end: they keep out no small ones, and do not stay for long."""

import contextlib
import re
import socket
import time

import httpx
import pytest

from app.api.body_budget import SMALL_BODY_BYTES, WINDOW_S, BodyBudget
from app.errors import QueueFull
from tests.app.server_process import Server

CHUNKED = (
    b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
)
MEGABYTE = 1_000_000


def begin_body(server: Server, stack: contextlib.ExitStack, megabytes: int) -> socket.socket:
    """Send so much of a chunked body, and not its end."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
    client.sendall(CHUNKED)
    with contextlib.suppress(OSError):  # answered meanwhile
        for _ in range(megabytes):
            client.sendall(b"%x\r\n%b\r\n" % (MEGABYTE, bytes(MEGABYTE)))
    return client


def test_large_bodies_leave_space_for_small_ones() -> None:
    budget = BodyBudget(100 * MEGABYTE)
    budget.used = 75 * MEGABYTE
    budget.reserve(SMALL_BODY_BYTES)
    budget.reserve(SMALL_BODY_BYTES // 2, SMALL_BODY_BYTES // 2)
    with pytest.raises(QueueFull):
        budget.reserve(SMALL_BODY_BYTES + 1)
    with pytest.raises(QueueFull):
        budget.reserve(1, SMALL_BODY_BYTES)
    budget.used = 100 * MEGABYTE
    with pytest.raises(QueueFull):
        budget.reserve(1)


def test_unfinished_bodies_keep_no_image_out_and_are_given_up(server: Server, seven: bytes) -> None:
    """Ten of 20 MB once filled all space for 30 seconds, while readiness was green."""
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        clients = [begin_body(server, stack, 19) for _ in range(11)]
        for _ in range(5):
            answer = httpx.post(f"{server.url}/classify", files={"file": seven}, timeout=30)
            assert answer.status_code == 200, answer.text
        said = [read_answer(client) for client in clients]
        elapsed = time.monotonic() - started
    statuses = [head[9:12] for head in said]
    assert set(statuses) <= {b"408", b"503"}
    slow = said[statuses.index(b"408")]
    assert b"the next 10,000 bytes of the body did not come within 5 s" in slow
    assert elapsed < 4 * WINDOW_S


def read_answer(client: socket.socket) -> bytes:
    """Read one whole answer: its head and its body may come apart."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += client.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head)
    while len(body) < int(length):
        body += client.recv(65536)
    return head + body


def test_a_slow_body_has_its_time(server: Server, seven: bytes) -> None:
    """A byte now and then of a small body, and a large one that keeps to the least rate."""
    small = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        % len(seven)
    )
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        first.sendall(small + seven[:-20])
        second = begin_body(server, stack, 1)
        for index in range(20, 4, -1):
            time.sleep(WINDOW_S / 10)
            first.sendall(seven[len(seven) - index :][:1])
            second.sendall(b"800\r\n" + bytes(2048) + b"\r\n")
        first.sendall(seven[-4:])
        second.sendall(b"0\r\n\r\n")
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert second.recv(65536).startswith(b"HTTP/1.1 400 ")
