"""Make requests of calls and results of answers: address, key, arguments of `httpx`, errors."""

import ipaddress
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

# The parameters of a query string; names may repeat.
Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ApiCall(Generic[Result]):
    """One request, and the function that reads its answer. `body` has further arguments of `httpx`, as `files`."""

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    parameters: Parameters = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def address(server: str) -> httpx.URL:
    """Return the address of a server as a URL; raises ValueError if it is not that of an HTTP server."""
    try:
        url = httpx.URL(server)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"the server {server!r} is no valid address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the server {server!r} should be an address such as {DEFAULT_SERVER}")
    return url


def mounts(url: httpx.URL) -> dict[str, None]:
    """Return the schemes without a proxy, as `httpx` takes them: no proxy (HTTP_PROXY) can reach this machine."""
    try:
        is_loopback = url.host == "localhost" or ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        is_loopback = False
    return dict.fromkeys(("all://", "http://", "https://")) if is_loopback else {}


def headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request; raises ValueError if no header can hold the key, which is not repeated."""
    if not api_key:
        return {}
    if not set(api_key) <= set(string.ascii_letters + string.digits + string.punctuation):
        raise ValueError("the API key should hold printable ASCII characters without spaces")
    return {"Authorization": f"Bearer {api_key}"}


def arguments(call: ApiCall[Any], time_left: float) -> dict[str, Any]:
    """Return a call as arguments of `httpx.Client.request`."""
    return {
        "method": call.method,
        "url": call.path,
        "params": list(call.parameters),
        "headers": dict(call.headers),
        "timeout": time_left,
        **call.body,
    }


def timeout_error() -> httpx.TransportError:
    """Return the error of an answer that is not complete in time."""
    return httpx.ReadTimeout("the answer took too long")


def parse_outcome(
    server: str, call: ApiCall[Result], answer: httpx.Response | httpx.RequestError
) -> Result | CapsnetError:
    """Return the result that an answer holds, or the error that the answer is; `answer` may be a failure of `httpx`."""
    if isinstance(answer, httpx.DecodingError):
        return not_the_service(server, f"the answer of {call.path} cannot be decompressed ({answer!r:.100})")
    if isinstance(answer, httpx.RequestError):
        return unreachable(server, answer)
    try:
        return call.read(answer) if answer.is_success else CapsnetError.from_response(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # JSON that fails is a ValueError
        return not_the_service(
            server, f"the answer of {call.path} has another form than expected ({error!r:.100})"
        )
