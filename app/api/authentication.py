"""Authenticate a request by its key, and apply the rate limit of its client.

Knows no ASGI: `middleware/auth.py` calls it for every request, and `app/server/fast_path.py` for those that it takes.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import structlog
from pydantic import SecretStr

from ..errors import Forbidden, SettingsError, TooManyRequests, Unauthorized
from ..settings import PREFIX, Rate, Settings
from .rate_limit import Limiter, RateLimitResult

# The playground and the documentation, and what monitoring reads.
OPEN_PATHS = frozenset(
    {
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/health/live",
        "/health/ready",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
OPEN_FOLDERS = ("/docs/", "/static/")

# Every host with IPv6 gets at least one network of this prefix length.
IPV6_PREFIX = 64


class ApiKeys:
    """The keys that open the service. Only their hashes are kept."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    @property
    def digest(self) -> bytes:
        """Return one hash of all keys, in their order."""
        return hashlib.sha256(b"".join(self._digests)).digest()

    @classmethod
    def load(cls, settings: Settings) -> "ApiKeys":
        """Return the keys of clients, from the settings and their file; raises SettingsError."""
        return cls(_load_keys("API_KEYS", settings.api_keys, settings.api_keys_file))

    @classmethod
    def load_admin(cls, settings: Settings) -> "ApiKeys":
        """Return the keys that may load and unload models; raises SettingsError."""
        return cls(_load_keys("ADMIN_KEYS", settings.admin_keys, settings.admin_keys_file))

    def match(self, key: bytes) -> int | None:
        """Return the index of this key, or None.

        Compares all keys in full, so that the time taken does not tell how much of the key was right.
        """
        digest = _digest(key)
        matched = None
        for index, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                matched = index
        return matched


class Authenticator:
    """Admits clients that have a key, as often as the rate limit allows.

    Parameters
    ----------
    keys
        The keys that open the service. Without any, every client may use it, and is counted by address.
    admin_keys
        Keys that may also change the models.
    limiter
        Counts the requests of each client, if they are limited.
    """

    def __init__(self, keys: ApiKeys, admin_keys: ApiKeys, limiter: Limiter | None) -> None:
        self._keys = keys
        self._admin_keys = admin_keys
        self._limiter = limiter

    def is_client_key(self, given: bytes) -> bool:
        """Tell whether this key opens the service and is no admin key."""
        return bool(given) and self._keys.match(given) is not None and self._admin_keys.match(given) is None

    def _match(self, given: bytes) -> int | None:
        """Return the index of this key among the clients' or the admin keys, or None."""
        key, admin = self._keys.match(given), self._admin_keys.match(given)
        return key if admin is None else admin

    async def authenticate(
        self, header: Callable[[str], str | None], client: tuple[str, int] | None
    ) -> dict[str, str]:
        """Admit a client, and return the headers that tell it the rest of its rate limit.

        Parameters
        ----------
        header
            Returns a header of the request by its name in lower case, or None.
        client
            Address and port. A client without a key is counted by it, so keys cannot be guessed faster than the rate.

        Raises
        ------
        TooManyRequests, Unauthorized
            If it is not admitted.
        """
        given = extract_api_key(header)
        key = self._match(given) if given else None
        headers: dict[str, str] = {}
        if self._limiter is not None:
            counted_as = rate_limit_key(client) if key is None else b"key:" + _digest(given)
            headers = await _count(self._limiter, counted_as)
        if self._keys and key is None:
            raise Unauthorized(given=bool(given)).with_headers(headers)
        return headers


def check_admin(keys: ApiKeys, header: Callable[[str], str | None]) -> None:
    """Check that a request carries a key that may change the models.

    Raises
    ------
    Forbidden, Unauthorized
        If there are no such keys, or it carries none of them.
    """
    if not keys:
        raise Forbidden("models cannot be loaded and unloaded: CAPSNET_ADMIN_KEYS is not set")
    given = extract_api_key(header)
    if not given or keys.match(given) is None:
        raise Unauthorized(given=bool(given), use="may load and unload models (CAPSNET_ADMIN_KEYS)")


async def _count(limiter: Limiter, client: bytes) -> dict[str, str]:
    """Count one request of a client; return the headers of its rate limit, or raise TooManyRequests."""
    result = await limiter.acquire(client)
    rate, headers = limiter.rate, _rate_headers(limiter.rate, result)
    if not result.granted:
        raise TooManyRequests(rate.count, rate.seconds, result.retry).with_headers(headers)
    return headers


def is_open(path: str) -> bool:
    """Tell whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def extract_api_key(header: Callable[[str], str | None]) -> bytes:
    """Return the key in `Authorization: Bearer` or, for another scheme, in `X-API-Key`; empty for none.

    `header` returns a header by its name, or None.
    """
    scheme, _, credentials = (header("authorization") or "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else header("x-api-key") or ""
    return given.encode("latin-1")


def rate_limit_key(client: tuple[str, int] | None) -> bytes:
    """Return what a request is counted for: an IPv4 address or the network of an IPv6 address; empty for neither."""
    return _network_of(client[0]) if client else b""


@lru_cache(maxsize=4096)
def _network_of(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket, or what no honest proxy writes: one bucket for all of those
        return b""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed[: IPV6_PREFIX // 8]
    return address.packed


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _load_keys(setting: str, given: Iterable[SecretStr], file: Path | None) -> list[str]:
    """Return the keys of a setting and of its file.

    Raises
    ------
    SettingsError
        If the file cannot be read or holds no key, or a key could not be sent in a header.
    """
    name = f"{PREFIX}{setting}"
    keys = [key.get_secret_value() for key in given]
    for number, key in enumerate(keys, 1):
        _check(key, f"{name}, key {number}")
    return keys if file is None else keys + _read_keys(f"{name}_FILE", file)


def _read_keys(name: str, file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} is {str(file)!r}: {error}") from None
    keys = {number: key for number, line in enumerate(lines, 1) if (key := line.strip())}
    for number, key in keys.items():
        _check(key, f"{name} is {str(file)!r}: line {number}")
    if not keys:
        raise SettingsError(f"{name} is {str(file)!r}: it holds no key; one a line is read")
    return list(keys.values())


def _check(key: str, place: str) -> None:
    """Refuse a key that no header can carry; raises SettingsError."""
    for position, sign in enumerate(key, 1):
        if not ("!" <= sign <= "~"):
            raise SettingsError(
                f"{place}: sign {position} is {sign!a}; a key may hold letters, digits and signs of ASCII, no spaces"
            )


def _rate_headers(rate: Rate, result: RateLimitResult) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-06, which most clients and proxies know."""
    return {
        "RateLimit-Policy": f"{rate.count};w={rate.seconds}",
        "RateLimit-Limit": str(rate.count),
        "RateLimit-Remaining": str(result.remaining),
        "RateLimit-Reset": str(result.reset),
    }


def warn_if_unauthenticated(settings: Settings) -> None:
    """Log a warning where the service listens beyond this machine and asks no client for a key."""
    if not is_loopback(settings.host) and not (settings.api_keys or settings.api_keys_file):
        structlog.get_logger(__name__).warning(
            "every client that reaches this address may use the service: CAPSNET_API_KEYS is not set",
            host=settings.host,
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
