"""The service behind Debian's HAProxy: keys, rates and addresses in trailers, and answers before the body was read."""

import re
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.server_process import png, serving
from tests.app.tiny_model import write_tiny_model
from tests.docker.haproxy import proxying
from training.data.datasets import DatasetPart

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy") is None, reason="needs HAProxy, as in Debian's haproxy"
)

KEY = "right"
RATE = 5  # a minute
# HAProxy passes trailers on; in one piece with the rest, or after it, as the client sends them.
CHUNKED = "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n{head}\r\n"
BODY = "1\r\na\r\n0\r\n"


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "mnist")
    return folder


@pytest.fixture(scope="module", params=["fast path", "parser"])
def proxy(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of a HAProxy that appends clients' addresses, before a service with a key and a rate."""
    folder = tmp_path_factory.mktemp("behind")
    settings = {
        "models": tiny_models,
        "api_keys": KEY,
        "rate_limit": f"{RATE}/minute",
        "trusted_proxies": "127.0.0.1",
        "fast_path": int(request.param == "fast path"),
        "max_upload": 200_000,
    }
    with (
        serving(folder / "log", **settings) as server,
        proxying(server.port, folder / "haproxy", "option forwardfor") as port,
    ):
        yield port


def ask(port: int, client: str, *pieces: str) -> tuple[int, dict[str, str]]:
    """Send bytes from a client's own address; the status and the headers of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(client, 0)) as connection:
        for piece in pieces:
            connection.sendall(piece.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65536)
            assert received, head
            head += received
    lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])


@pytest.mark.parametrize("in_one_piece", [True, False])
@pytest.mark.parametrize("trailer", [f"X-API-Key: {KEY}", f"Authorization: Bearer {KEY}"])
def test_a_key_in_a_trailer_opens_nothing(proxy: int, trailer: str, in_one_piece: bool) -> None:
    end = f"{BODY}{trailer}\r\n\r\n"
    head = CHUNKED.format(head="")
    client = f"127.0.1.{1 + 2 * in_one_piece + trailer.startswith('X')}"
    status, _ = ask(proxy, client, head + end) if in_one_piece else ask(proxy, client, head, end)
    assert status == 401


@pytest.mark.parametrize("where", ["head", "trailer", "comma", "twice"])
def test_keys_cannot_be_guessed_faster_under_other_addresses(proxy: int, where: str) -> None:
    """Each guess says that it comes from elsewhere; the service counts the address that HAProxy saw."""
    client = f"127.0.2.{['head', 'trailer', 'comma', 'twice'].index(where) + 1}"
    statuses = []
    for number in range(RATE + 3):
        said = f"X-Forwarded-For: 198.51.100.{number}\r\n"
        heads = {"head": said, "trailer": "", "comma": f"{said[:-2]}, 127.0.0.1\r\n", "twice": said * 2}
        trailer = said if where == "trailer" else ""
        request = CHUNKED.format(head=f"X-API-Key: guess{number}\r\n{heads[where]}") + f"{BODY}{trailer}\r\n"
        statuses.append(ask(proxy, client, request)[0])
    assert statuses == [401] * RATE + [429] * 3


@pytest.mark.parametrize("where", ["head", "trailer"])
def test_a_rate_holds_whatever_address_a_client_names(proxy: int, where: str) -> None:
    """Counted by key: fewer are left after each request, and at the end none (429)."""
    left = []
    for number in range(2 * RATE):
        said = f"X-Forwarded-For: 203.0.113.{number}\r\n"
        head = f"X-API-Key: {KEY}\r\n{said if where == 'head' else ''}"
        status, headers = ask(
            proxy,
            "127.0.3.1",
            CHUNKED.format(head=head) + BODY + (said if where == "trailer" else "") + "\r\n",
        )
        left.append((status, headers["ratelimit-remaining"]))
    assert left[-RATE:] == [(429, "0")] * RATE


@pytest.mark.parametrize(
    ("size", "headers", "status"),
    [
        (5_000_000, {"Content-Type": "image/png", "X-API-Key": "wrong"}, 401),
        (5_000_000, {"Content-Type": "image/png"}, 413),
        (150_000, {"Content-Type": "text/plain"}, 415),
        (25_000_000, {"Content-Type": "image/png"}, 413),
    ],
    ids=["401", "413", "415", "413 of 25 MB"],
)
def test_an_answer_before_the_body_was_read_arrives_whole(
    tiny_models: Path, tmp_path: Path, size: int, headers: dict[str, str], status: int
) -> None:
    """By urllib, which sends `Connection: close` and all of its body before it reads."""
    with (
        serving(tmp_path / "log", models=tiny_models, api_keys=KEY, max_upload=200_000) as server,
        proxying(server.port, tmp_path / "haproxy") as port,
    ):
        for _ in range(3):
            sent = {"X-API-Key": KEY} | headers
            request = urllib.request.Request(f"http://127.0.0.1:{port}/classify", bytes(size), sent)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=30)
            assert refused.value.code == status
            assert f'"status":{status}' in refused.value.read().decode()


def test_two_lengths_and_bare_line_feeds_do_not_pass_it(proxy: int) -> None:
    """What the documents say that a proxy must drop, this one drops."""
    for head in (
        "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /classify HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    ):
        status, headers = ask(proxy, "127.0.4.1", head)
        assert status in (400, 401)
        assert (status == 400) == ("x-request-id" not in headers)
    both = CHUNKED.format(head="Content-Length: 3\r\n") + BODY + "\r\n"
    assert ask(proxy, "127.0.4.2", both)[0] in (400, 401)


def test_images_are_answered_through_it(tiny_models: Path, digits: DatasetPart, tmp_path: Path) -> None:
    seven = png(digits.images[0, 0])
    with (
        serving(tmp_path / "log", models=tiny_models, trusted_proxies="127.0.0.1") as server,
        proxying(server.port, tmp_path / "haproxy", "option forwardfor") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for _ in range(20):
            assert client.post("/classify", files={"file": seven}).status_code == 200
        assert client.get("/openapi.json").json()["paths"]
    assert re.search(r"client=127\.0\.0\.1", (tmp_path / "log").read_text())
