"""Plain requests read from their bytes, and answers written as bytes: a parser's callbacks would take longer.

What the parser would refuse is not for here: a proxy may take the end of such a request to be somewhere else.
"""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from uvicorn.middleware.proxy_headers import _TrustedHosts as TrustedHosts
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..api.security_headers import add_common_headers

HEAD = re.compile(
    rb"POST (/[a-z/]*)(?:\?([!\"$-~]*))? HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
LENGTH = re.compile(rb"\r\ncontent-length: *([^\r]*)", re.IGNORECASE)
LONGEST_LENGTH = 15  # digits
# A request with one of these is not plain, and goes all the way; so does one with a blank at the end of a header, which
# the parser keeps.
OTHER = re.compile(
    rb"\r\n(?:expect|transfer-encoding|content-encoding|upgrade|origin|proxy-connection):"
    rb"|\r\nconnection:(?! *keep-alive\r\n)|[\t ]\r\n",
    re.IGNORECASE,
)

# Heads up to so many bytes are read here, and so many are remembered: most clients send the same ones again.
LONGEST_HEAD = 4096
MOST_HEADS = 256

# An offer to go on in another protocol.
UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)

RawHeaders = Iterable[tuple[bytes, bytes]]
Address = tuple[str, int]


class Head(NamedTuple):
    """The head of a plain POST request: `size` bytes, before a body of `length`. Names of headers are in lower case."""

    size: int
    length: int
    path: str
    query: bytes
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The first header of this name; empty where there is none."""
        return next((value for each, value in self.headers if each == name), "")

    def last(self, name: str) -> str:
        """The last header of this name; empty where there is none."""
        return next((value for each, value in reversed(self.headers) if each == name), "")


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with, where it is there to its end and that of a plain POST request."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD)
    return None if end < 0 else _head(data[: end + 4])


def without_upgrade(data: bytes) -> bytes:
    """What begins with a request, without its offer to go on in another protocol; as it is, if its head is not whole.

    A server may pass over the offer (RFC 9110, section 7.8). The parser would take the body for the other protocol's.
    """
    end = data.find(b"\r\n\r\n") + 2
    head = UPGRADE.sub(b"", data[:end])
    return data if len(head) == end else head + data[end:]


@functools.lru_cache(MOST_HEADS)
def _head(data: bytes) -> Head | None:
    found = HEAD.fullmatch(data)
    if found is None or OTHER.search(data):
        return None
    lengths = LENGTH.findall(data)
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > LONGEST_LENGTH:
        return None
    lines = [line.partition(":") for line in found[3].decode("latin-1").split("\r\n")[:-1]]
    headers = tuple((name.lower(), value.lstrip(" \t")) for name, _, value in lines)
    return Head(len(data), int(lengths[0]), found[1].decode(), found[2] or b"", headers)


def client_of(head: Head, peer: Address | None, proxies: TrustedHosts | None) -> Address | None:
    """Whose request it is: where a trusted proxy sent it, who that says."""
    if proxies is None or peer is None or peer[0] not in proxies:
        return peer
    given = ", ".join(value for name, value in head.headers if name == "x-forwarded-for")
    host, port = proxies.get_trusted_client_address(given) if given else ("", 0)
    return (host, port) if host else peer


def answer(status: int, identity: str, headers: RawHeaders, body: bytes) -> bytes:
    """A whole answer, with the headers that every answer has behind these."""
    lines = list(headers)
    add_common_headers(lines, identity)
    return b"%b%b\r\n%b" % (STATUS_LINE[status], b"".join([b"%b: %b\r\n" % line for line in lines]), body)
