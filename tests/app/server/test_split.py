"""However the network cuts a stream of requests, the answers are the same."""

import re
import socket
import time

import numpy as np
import pytest

from tests.app.both_ways import both_ways
from tests.app.server_process import Server, png
from tests.app.tiny_model import SIZE

server = both_ways()

VARIES = re.compile(rb"\r\ndate: [^\r]*")
PAUSE_S = 0.001


def streams() -> dict[str, bytes]:
    """A few requests on one connection, the last of which closes it."""
    image = png(np.zeros((SIZE, SIZE), np.uint8))
    form = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + image + b"\r\n--b--\r\n"
    post = b"POST /classify HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\r\nContent-Type: %b\r\n"
    multipart = post % b"multipart/form-data; boundary=b"
    last = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-ID: z\r\nConnection: close\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\nX-Trailer: t\r\n\r\n" % (len(image), image)
    return {
        "form": multipart + b"Content-Length: %d\r\n\r\n" % len(form) + form + last,
        "body": post % b"image/png" + b"Content-Length: %d\r\n\r\n" % len(image) + image + last,
        "chunks": post % b"image/png" + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + last,
        "refused": post % b"text/plain" + b"Content-Length: 4\r\n\r\ndata" + last,
    }


def answers(server: Server, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
            time.sleep(PAUSE_S)
        return VARIES.sub(b"", b"".join(iter(lambda: client.recv(65536), b"")))


@pytest.mark.parametrize("name", streams())
def test_a_stream_that_is_cut_anywhere_is_answered_alike(server: Server, name: str) -> None:
    stream = streams()[name]
    whole = answers(server, stream)
    assert whole.count(b"HTTP/1.1 ") == 2
    for cut in range(1, len(stream)):
        assert answers(server, stream[:cut], stream[cut:]) == whole, stream[:cut]


@pytest.mark.parametrize("name", streams())
def test_a_stream_that_comes_byte_by_byte_is_answered_alike(server: Server, name: str) -> None:
    stream = streams()[name]
    assert answers(server, *(bytes([byte]) for byte in stream)) == answers(server, stream)
