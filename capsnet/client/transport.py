"""Keep what both clients share below their calls: address, key, connections, and reading an answer."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from capsnet.errors import CapsnetError, not_the_service, unreachable

Result = TypeVar("Result")

DEFAULT_SERVER = "http://127.0.0.1:8000"
SERVER_VARIABLE = "CAPSNET_SERVER"
KEY_VARIABLE = "CAPSNET_API_KEY"

# How a query string is given: names may repeat.
Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One request, and how its answer is read. `body` is what `httpx` takes besides: `content`, `files`, `json`."""

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    parameters: Parameters = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def address(server: str) -> httpx.URL:
    """The address of a server as a URL that a path can be added to.

    Raises
    ------
    ValueError
        If it is no address of an HTTP server.
    """
    try:
        url = httpx.URL(server)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"the server {server!r} is no address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the server {server!r} is no address; it looks like {DEFAULT_SERVER}")
    return url


def headers(api_key: str | None) -> dict[str, str]:
    """The headers of every request.

    Raises
    ------
    ValueError
        If the key holds what no header can; the message does not repeat it.
    """
    if not api_key:
        return {}
    if not set(api_key) <= set(string.ascii_letters + string.digits + string.punctuation):
        raise ValueError("the API key holds characters other than printable ASCII without spaces")
    return {"Authorization": f"Bearer {api_key}"}


def arguments(call: Call[Any], time_left: float) -> dict[str, Any]:
    """A call as arguments of `httpx.Client.request`."""
    return {
        "method": call.method,
        "url": call.path,
        "params": list(call.parameters),
        "headers": dict(call.headers),
        "timeout": time_left,
        **call.body,
    }


def late() -> httpx.TransportError:
    """The error of an answer that has not come to its end in its time."""
    return httpx.ReadTimeout("the answer took too long")


def outcome(
    server: str, call: Call[Result], answer: httpx.Response | httpx.RequestError
) -> Result | CapsnetError:
    """What an answer says, or the error that it or its absence is."""
    if isinstance(answer, httpx.DecodingError):
        return not_the_service(server, f"{call.path} gave what cannot be unpacked ({answer!r:.100})")
    if isinstance(answer, httpx.RequestError):
        return unreachable(server, answer)
    try:
        return call.read(answer) if answer.is_success else CapsnetError.from_response(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # JSON that fails is a ValueError
        return not_the_service(server, f"{call.path} gave something else than expected ({error!r:.100})")
