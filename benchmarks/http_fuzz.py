"""`make fuzz-http`: check that a request read from its bytes is read as the parsers read it.

The service reads plain heads and forms by itself (`app.server.http_head`, `app.api.multipart`). A proxy in front of it
reads them with a real parser, and where the two disagree on the end of a request, one request can be smuggled into
another. So both get damaged heads and forms: whatever is read from the bytes must equal what llhttp (httptools) and
python-multipart read, or must be left to them.
"""

import random
import time
from typing import Annotated

import httptools
import typer

from app.api.multipart import FIELD, Form, plain_files
from app.errors import BadRequest, Problem
from app.server.http_head import read_head

PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"#", b"?", b"%0d", b"\0", b"\x7f", b"\xe9", b"Content-Length", b"0",
    b"content-length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"x: \r\n", b"Connection: close\r\n", b"Host: y\r\n",
    b"HTTP/1.0", b"POST /", b";", b",", b"--b", b"--b--", b"\r\n--b", b'"', b"\\", b"name=", b"file", b"filename",
    b"\r\n\r\n", b"Content-Disposition: form-data", b"Content-Type: a/b\r\n", b"Upgrade: h2c\r\n", b"+5", b"_", b"-",
]  # fmt: skip
HEAD = b"POST /classify?top_k=3 HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: image/png\r\n\r\ndata\r\n'
MOST_PARTS = 10


class Parsed:
    """A request as llhttp parses it."""

    def __init__(self, data: bytes) -> None:
        self.url, self.body, self.whole = b"", b"", 0
        self.headers: list[tuple[str, str]] = []
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note a piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Note a piece of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        self.whole += 1


def check_head(data: bytes) -> bool:
    """Raise AssertionError where the parser reads another head than that from the bytes; tell whether it was read."""
    head = read_head(data)
    if head is None or len(data) < head.size + head.length:
        return False
    whole = data[: head.size + head.length]
    try:
        parsed = Parsed(whole)
    except httptools.HttpParserError as error:
        raise AssertionError(f"the parser refuses {whole!r}: {error}") from None
    url = httptools.parse_url(parsed.url)
    agreed = (
        parsed.whole == 1
        and parsed.body == whole[head.size :]
        and parsed.headers == list(head.headers)
        and (url.path.decode(), url.query or b"") == (head.path, head.query)
        and bool(parsed.parser.should_keep_alive())
    )
    if not agreed:
        raise AssertionError(f"read otherwise by the parser: {whole!r}")
    return True


def check_form(body: bytes) -> bool:
    """Raise AssertionError where the parser reads another form than that from the bytes; tell whether it was read."""
    files = plain_files(body, b"b", MOST_PARTS)
    if files is None:
        return False
    try:
        fields = Form(body, b"b", MOST_PARTS, lambda: BadRequest("too many")).fields
    except Problem as error:
        raise AssertionError(f"the parser refuses {body!r}: {error}") from None
    if fields != [(FIELD, content) for content in files]:
        raise AssertionError(f"read otherwise by the parser: {body!r}")
    return True


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the data with up to four pieces inserted, replaced, repeated or removed."""
    for _ in range(chance.randrange(5)):
        start = chance.randrange(len(data) + 1)
        end = start + chance.choice([0, 0, 0, 1, 2, chance.randrange(40)])
        piece = chance.choice([*PIECES, bytes([chance.randrange(256)]), data[start:end] * 2])
        data = data[:start] + piece + data[end:]
    return data


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """Check heads and forms for so many seconds; return their number, and that of those read from their bytes."""
    chance = random.Random(seed)
    end, cases, read = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        for _ in range(100):
            read += check_head(damaged(HEAD, chance) + b"data" + chance.choice([b"", HEAD]))
            read += check_form(
                damaged(PART * chance.randrange(1, 4), chance) + chance.choice([b"--b--\r\n", b"--b--"])
            )
            cases += 2
    return cases, read


def main(
    seconds: Annotated[float, typer.Option(min=0.1)] = 25, seed: Annotated[int | None, typer.Option()] = None
) -> None:
    """Fuzz, and print the seed that repeats the same cases."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    cases, read = fuzz(seconds, seed)
    print(f"{cases:,} heads and forms, {read:,} of them read from their bytes: the parsers agree on each")


if __name__ == "__main__":
    typer.run(main)
