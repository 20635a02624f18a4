"""The fast path to /classify gives what the long way gives, whatever pieces a request comes in."""

import asyncio
import gc
import json
import re
import socket
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httptools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.multipart import plain_image_file
from app.errors import InvalidImage
from app.server.fast_path import LONGEST_BODY_BYTES
from app.server.http_head import encode_response, read_head
from app.server.protocol import FAST_PATH_WAIT_S
from benchmarks.http_fuzz import Parsed
from tests.app.api.test_overload import busy
from tests.app.in_process_server import within_this_process
from tests.app.server_process import ROOT, Server, png, serving, wait_until

# Goes all the way: headers may be due that the fast path does not know.
LONG_WAY = "Origin: https://example.org\r\n"


@pytest.fixture(scope="module")
def logged(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(log, models=tiny_models, log_format="json") as running:
        yield running


def request(body: bytes, more: str = "", path: str = "/classify", media: str = "image/png") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """A connection on which bytes are sent as they are."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self._file.read(int(headers["content-length"]))

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.socket.sendall(data)
        return self.answer()


def form(image: bytes) -> tuple[bytes, str]:
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="7.png"\r\n\r\n'
    return head + image + b"\r\n--xyz--\r\n", "multipart/form-data; boundary=xyz"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/classify", 200),
        ("/classify?verify=false&top_k=3", 200),
        ("/classify?model=mnist&preprocess=none", 200),
        ("/classify?model=nobody", 404),
        ("/classify?top_k=11", 422),
        ("/classify?top_k=0", 422),
        ("/classify?x=1", 422),
        ("/classify?verify=1&verify=0", 422),
    ],
)
def test_both_ways_answer_alike(server: Server, seven: bytes, path: str, status: int) -> None:
    for body, media in ((seven, "image/png"), form(seven), (b"no image", "application/octet-stream")):
        expected = 400 if body == b"no image" and status == 200 else status
        with Client(server) as client:
            fast, long = (
                client.ask(request(body, f"X-Request-ID: abc\r\n{more}", path, media))
                for more in ("", LONG_WAY)
            )
        assert fast[0] == long[0] == expected
        assert fast[1] | {"date": ""} == long[1] | {"date": ""}
        assert list(fast[1]) == list(long[1])
        assert fast[2] == long[2]


def test_a_request_may_come_in_pieces(server: Server, seven: bytes) -> None:
    whole = request(*form(seven)[:1], media=form(seven)[1])
    head = whole.index(b"\r\n\r\n") + 4
    with Client(server) as client:
        expected = client.ask(whole)[2]
        for cuts in ([head], [10, head + 5], [head, head + 5, head + 6], [len(whole) - 1]):
            for pause in (0.005, 1.5 * FAST_PATH_WAIT_S):
                for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                    client.socket.sendall(whole[start:end])
                    time.sleep(pause)
                status, _, body = client.answer()
                assert (status, body) == (200, expected)


def test_requests_behind_each_other_are_answered_in_their_order(server: Server, seven: bytes) -> None:
    slow = png(np.zeros((2000, 2000), np.uint8))
    assert len(slow) < LONGEST_BODY_BYTES
    alive = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with Client(server) as client:
        client.socket.sendall(request(slow, "X-Request-ID: first\r\n"))
        time.sleep(0.02)  # it is on the fast path
        client.socket.sendall(alive + request(seven, "X-Request-ID: third\r\n"))
        assert client.answer()[1]["x-request-id"] == "first"
        assert json.loads(client.answer()[2]) == {"status": "live"}
        assert client.answer()[1]["x-request-id"] == "third"
        assert client.ask(request(seven, "X-Request-ID: fourth\r\n"))[1]["x-request-id"] == "fourth"


def test_what_comes_behind_a_body_is_the_next_request(server: Server, seven: bytes) -> None:
    """A decoder of images would not mind a request behind its image, but its client waits for an answer."""
    names = ["one", "two", "three"]
    alive = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    together = b"".join(request(seven, f"X-Request-ID: {name}\r\n") for name in names) + alive
    with Client(server) as client:
        for cut in (0, len(request(seven)) - 5, len(together) - 3):
            client.socket.sendall(together[:cut])
            time.sleep(0.01)
            client.socket.sendall(together[cut:])
            assert [client.answer()[1]["x-request-id"] for _ in names] == names
            assert json.loads(client.answer()[2]) == {"status": "live"}


def test_a_body_that_looks_like_a_request_is_none_even_where_the_service_is_full(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    with serving(tmp_path / "log", models=tiny_models, max_queue=1) as running, busy(running):
        inner = request(seven, "X-Request-ID: inner\r\n")
        outer = request(inner, "X-Request-ID: outer\r\n")
        with Client(running) as client:
            client.socket.sendall(outer[: -len(inner)])
            time.sleep(0.01)  # on the fast path, or in line for it, is its head
            client.socket.sendall(inner)
            status, headers, _ = client.answer()
            assert (status, headers["x-request-id"]) == (503, "outer")
            client.socket.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.answer()[0] == 200


def test_at_the_end_what_came_is_answered(
    tiny_models: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> tuple[bytes, bytes]:
        over = asyncio.Event()

        async def wait(*_: object) -> bytes:
            await over.wait()
            return b"{}"

        monkeypatch.setattr("app.api.routes.classify.answer", wait)
        async with within_this_process(tiny_models) as (_, state, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            half_reader, half_writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(seven, "X-Request-ID: first\r\n"))
            half_writer.write(request(seven, "X-Request-ID: half\r\n")[:-1])
            await asyncio.sleep(FAST_PATH_WAIT_S / 5)
            writer.write(request(seven, "X-Request-ID: behind\r\n"))
            await asyncio.sleep(FAST_PATH_WAIT_S / 5)
            for each in list(state.connections):
                each.shutdown()
            half_writer.write(seven[-1:])
            over.set()
            answers = await reader.read(), await half_reader.read()
            for stream in (writer, half_writer):
                stream.close()
        return answers

    whole, half = asyncio.run(scenario())
    assert re.findall(rb"x-request-id: (\w+)", whole) == [b"first", b"behind"]
    assert re.findall(rb"x-request-id: (\w+)", half) == [b"half"]
    assert whole.count(b"connection: close") == half.count(b"connection: close") == 1


def test_an_end_that_begins_after_an_answer_was_made_closes_no_connection_that_was_to_be_kept(
    tiny_models: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal can come after an answer was made, and its client may have sent the next request."""

    async def scenario() -> tuple[bytes, bytes]:
        async with within_this_process(tiny_models) as (kind, _, port):

            def make(*what: Any) -> bytes:
                made = encode_response(*what)
                kind.draining = True
                return made

            monkeypatch.setattr("app.server.protocol.encode_response", make)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(seven))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
            writer.write(request(seven))
            last = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        return head, last

    first, last = asyncio.run(scenario())
    assert first.startswith(b"HTTP/1.1 200")
    assert b"connection: close" not in first
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in last


def test_a_lost_connection_is_forgotten_without_the_garbage_collector(
    tiny_models: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of them that were left to it held the event loop up for 0.4 s."""

    async def never(*_: object) -> bytes:
        await asyncio.sleep(60)
        return b""

    async def scenario() -> None:
        async with within_this_process(tiny_models) as (_, state, port):
            unused, answered, waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            answered[1].write(request(seven))
            await answered[0].readuntil(b"\r\n\r\n")
            monkeypatch.setattr("app.server.fast_path.classify.answer", never)
            waiting[1].write(request(seven))
            await asyncio.sleep(0.1)
            assert state.tasks
            connections = [weakref.ref(each) for each in state.connections]
            assert len(connections) == 3
            for _, writer in (unused, answered, waiting):
                writer.transport.abort()
            await asyncio.sleep(0.1)
            assert [each() for each in connections] == [None] * 3

    gc.collect()
    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


def test_an_answer_that_cannot_be_written_closes_the_connection(
    tiny_models: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that no input shows must not leave a client waiting."""

    async def fail(*_: object) -> bytes:
        raise InvalidImage("\ud800")  # no JSON

    async def scenario() -> bytes:
        monkeypatch.setattr("app.api.routes.classify.answer", fail)
        async with within_this_process(tiny_models) as (_, _, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(seven))
            end = await asyncio.wait_for(reader.read(), 10)
            writer.close()
        return end

    assert asyncio.run(scenario()) == b""


def test_it_is_counted_and_logged(logged: Server, seven: bytes) -> None:
    pattern = r'capsnet_http_requests_total\{method="POST",route="/classify",status="200"\} (\S+)'

    def answered() -> float:
        found = re.search(pattern, logged.client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    before = answered()
    with Client(logged) as client:
        for number in range(3):
            assert client.ask(request(seven, f"X-Request-ID: counted-{number}\r\n"))[0] == 200
    assert answered() == before + 3
    assert all(f"counted-{number}" in logged.log.read_text() for number in range(3))
    assert (
        "capsnet_http_requests_in_flight 1.0" in logged.client.get("/metrics").text
    )  # that of /metrics itself


def test_who_leaves_is_not_waited_for(logged: Server, seven: bytes) -> None:
    slow = png(np.zeros((6900, 6900), np.uint8))
    assert len(slow) < LONGEST_BODY_BYTES
    with Client(logged) as client:
        client.socket.sendall(request(slow, "X-Request-ID: gone\r\n"))
        time.sleep(0.05)
    wait_until(lambda: '"gone"' in logged.log.read_text())
    (line,) = [json.loads(each) for each in logged.log.read_text().splitlines() if '"gone"' in each]
    assert line["status"] == 499
    with Client(logged) as client:
        assert client.ask(request(seven))[0] == 200
    assert "capsnet_http_requests_in_flight 1.0" in logged.client.get("/metrics").text


def test_authentication_and_limits_hold_on_the_fast_path(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    settings = {"api_keys": "secret", "rate_limit": "5/hour"}
    with serving(tmp_path / "log", models=tiny_models, **settings) as running, Client(running) as client:
        key = "Authorization: Bearer secret\r\n"
        answers = [
            client.ask(request(seven, f"X-Request-ID: abc\r\n{more}"))
            for more in ("", LONG_WAY, key, key + LONG_WAY)
        ]
        assert [status for status, *_ in answers] == [401, 401, 200, 200]
        assert [int(headers["ratelimit-remaining"]) for _, headers, *_ in answers] == [4, 3, 4, 3]
        differs = dict.fromkeys(("date", "ratelimit-remaining", "ratelimit-reset"), "")
        assert answers[0][1] | differs == answers[1][1] | differs
        assert answers[0][2] == answers[1][2]
        assert [answer[1]["ratelimit-remaining"] for answer in answers[2:]] == ["4", "3"]
        refused = [client.ask(request(seven, key))[0] for _ in range(4)]
        assert refused == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("media", "body", "expected"),
    [
        ("image/png", b"x", b"x"),
        ("application/octet-stream", b"x", b"x"),
        ("image/png", b"", None),
        ("image/png; charset=x", b"x", None),
        ("text/plain", b"x", None),
        ("", b"x", None),
        (form(b"x")[1], form(b"x")[0], b"x"),
        (form(b"")[1], form(b"")[0], None),
        (form(b"x")[1], form(b"x")[0][:-1], None),
        (form(b"x")[1], form(b"x")[0] * 2, None),
    ],
)
def test_only_a_plain_body_is_taken(media: str, body: bytes, expected: bytes | None) -> None:
    assert plain_image_file(media, body) == expected


# Requests of each row of the table in docs/architecture.md.
NEVER: dict[str, list[bytes]] = {
    "another method, version or route": [
        request(b"x").replace(b"POST", b"PUT"),
        request(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request(b"x", path="/read"),
    ],
    "an absolute or an encoded target": [
        request(b"x", path=path)
        for path in ("http://x/classify", "/classif%79", "/classify;a", "/classify#a", "/classify?top_k=1#a")
    ],
    "`Transfer-Encoding`": [request(b"x", "Transfer-Encoding: chunked\r\n")],
    "no length, two lengths, a length that is no number": [
        request(b"x").replace(b"Content-Length: 1\r\n", b""),
        request(b"x", "Content-Length: 1\r\n"),
        request(b"x").replace(b"Length: 1", b"Length: +1"),
    ],
    "a folded header, a bare line feed, a control character": [
        request(b"x", more) for more in ("A: b\r\n c\r\n", "A: b\nC: d\r\n", "A: b\rc\r\n", "A: \x00\r\n")
    ],
    "a blank before the colon or behind the value": [
        request(b"x", more) for more in ("A : b\r\n", "A: b \r\n")
    ],
    "`Upgrade`": [request(b"x", "Upgrade: h2c\r\n")],
    "`Connection` other than `keep-alive`, `Proxy-Connection`": [
        request(b"x", f"{header}\r\n") for header in ("Connection: close", "Proxy-Connection: keep-alive")
    ],
    "`Expect`": [request(b"x", "Expect: 100-continue\r\n")],
    "`Content-Encoding`": [request(b"x", "Content-Encoding: gzip\r\n")],
    "`Origin`": [request(b"x", LONG_WAY)],
    "a head of more than 4,096 bytes": [request(b"x", f"A: {'b' * 4096}\r\n")],
    "a body that is empty or longer than 60,000 bytes": [request(b""), request(b"x" * 60_001)],
    "a query that is wrong, long, or repeats a name": [
        request(b"x", path=f"/classify?{query}")
        for query in ("top_k=many", "unknown=1", f"model={'a' * 2000}", "verify=true&verify=true")
    ],
    "a form of two fields or another field, or with a text before it": [
        request(body, media=form(b"x")[1])
        for body in (
            form(b"x")[0].removesuffix(b"--xyz--\r\n") + form(b"y")[0],
            form(b"x")[0].replace(b'"file"', b'"image"'),
            b"text\r\n" + form(b"x")[0],
        )
    ],
    "a content type that is no image, or has parameters": [
        request(b"x", media=media) for media in ("text/plain", "image/png; charset=utf-8")
    ],
}


def test_the_table_of_what_is_never_accepted_is_that_of_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = page.partition("| never on the fast path |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (.+?) \| ", rows, re.MULTILINE)[1:] == list(NEVER)


def test_what_is_never_accepted_goes_the_long_way(tiny_models: Path) -> None:
    async def scenario() -> None:
        async with within_this_process(tiny_models) as (kind, _, _):
            fast = kind.fast

            def is_taken(data: bytes) -> bool:
                head = read_head(data)
                return head is not None and fast.may_take(head) and bool(fast.read(head, data[head.size :]))

            assert is_taken(request(b"x"))
            assert is_taken(request(*form(b"x")[:1], media=form(b"x")[1]))
            assert not [
                (name, data[:200]) for name, every in NEVER.items() for data in every if is_taken(data)
            ]

    asyncio.run(scenario())


pieces = st.sampled_from(
    ["\r\n", "\n", "\r", " ", "\t", ":", "#", "?", "%0d", "\x00", "\x7f", "é", "Content-Length", "content-length: 3",
     "Transfer-Encoding: chunked", "x: ", "Connection: close", "Host: y", "0", "HTTP/1.0", "POST /", ";", ","]
)  # fmt: skip
HEAD = "POST /classify?top_k=3 HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n"


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, len(HEAD)), pieces), min_size=0, max_size=4))
def test_a_head_that_is_read_here_is_read_alike_by_the_parser(inserted: list[tuple[int, str]]) -> None:
    """Whatever becomes of a head on its way: where it and its body end is beyond doubt, or it goes the long way."""
    text = HEAD
    for place, piece in inserted:
        text = text[:place] + piece + text[place:]
    data = text.encode("latin-1") + b"body"
    head = read_head(data)
    if head is None:
        return
    body = data[head.size :][: head.length]
    if len(body) < head.length:
        return
    parsed = Parsed(data[: head.size + head.length])
    assert parsed.whole == 1
    assert parsed.body == body
    assert parsed.headers == list(head.headers)
    url = httptools.parse_url(parsed.url)
    assert (url.path.decode(), url.query or b"") == (head.path, head.query)
    assert parsed.parser.should_keep_alive()
