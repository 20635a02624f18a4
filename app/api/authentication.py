"""Authenticate a request by its key, and hold a client to its rate. Knows no ASGI."""

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

# What a person must see to learn what the service is, and a machine to learn whether it is well.
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

# IPv6 addresses are given out by the network: every host has one of these at the least.
IPV6_PREFIX = 64


class ApiKeys:
    """The keys that open the service. Only their hashes are kept."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    @property
    def digest(self) -> bytes:
        """A hash of all of them, in their order."""
        return hashlib.sha256(b"".join(self._digests)).digest()

    @classmethod
    def load(cls, settings: Settings) -> "ApiKeys":
        """The keys of clients, of the settings and of their file; raises SettingsError."""
        return cls(_load_keys("API_KEYS", settings.api_keys, settings.api_keys_file))

    @classmethod
    def load_admin(cls, settings: Settings) -> "ApiKeys":
        """The keys that may load and unload models; raises SettingsError."""
        return cls(_load_keys("ADMIN_KEYS", settings.admin_keys, settings.admin_keys_file))

    def match(self, key: bytes) -> int | None:
        """Which key this is. Compares all of them in full, so that the time taken tells nothing of how near it came."""
        digest = _digest(key)
        found = None
        for index, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                found = index
        return found


class Authenticator:
    """Lets in who has a key, as often as the rate allows.

    Parameters
    ----------
    keys
        The keys that open the service. Without any, every client may use it, and is counted by address.
    admin_keys
        Keys that open what those open, and more.
    limiter
        Counts what each client asks, if that is bounded.
    """

    def __init__(self, keys: ApiKeys, admin_keys: ApiKeys, limiter: Limiter | None) -> None:
        self._keys = keys
        self._admin_keys = admin_keys
        self._limiter = limiter

    def is_client_key(self, given: bytes) -> bool:
        """Whether this key opens the service, and no more than that."""
        return bool(given) and self._keys.match(given) is not None and self._admin_keys.match(given) is None

    def _match(self, given: bytes) -> int | None:
        """Which key this is, if it is any."""
        key, admin = self._keys.match(given), self._admin_keys.match(given)
        return key if admin is None else admin

    async def authenticate(
        self, header: Callable[[str], str | None], client: tuple[str, int] | None
    ) -> dict[str, str]:
        """Let in a client, and return the headers that tell it what its rate leaves it.

        Parameters
        ----------
        header
            Gives a header of the request by its name in lower case, if there is one.
        client
            Address and port. A client without a key is counted by it, so keys cannot be guessed faster than the rate.

        Raises
        ------
        TooManyRequests, Unauthorized
            If it is not let in.
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
    """See that a request carries a key that may change the models.

    Raises
    ------
    Forbidden, Unauthorized
        If there are no such keys, or it carries none of them.
    """
    if not keys:
        raise Forbidden("models cannot be loaded and unloaded: CAPSNET_ADMIN_KEYS is not set")
    given = extract_api_key(header)
    if not given or keys.match(given) is None:
        raise Unauthorized(given=bool(given))


async def _count(limiter: Limiter, client: bytes) -> dict[str, str]:
    """Count one request of a client; the headers that say the rest of its rate, or TooManyRequests."""
    allowance = await limiter.acquire(client)
    rate, headers = limiter.rate, _rate_headers(limiter.rate, allowance)
    if not allowance.granted:
        raise TooManyRequests(rate.count, rate.seconds, allowance.retry).with_headers(headers)
    return headers


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def extract_api_key(header: Callable[[str], str | None]) -> bytes:
    """The key in `Authorization: Bearer` or, where that is of another scheme, in `X-API-Key`; empty for none.

    `header` gives a header by its name, if there is one.
    """
    scheme, _, credentials = (header("authorization") or "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else header("x-api-key") or ""
    return given.encode("latin-1")


def rate_limit_key(client: tuple[str, int] | None) -> bytes:
    """Whom to count a request for: the client's IPv4 address, or the network of its IPv6 address; empty for neither."""
    return _network_of(client[0]) if client else b""


@lru_cache(maxsize=4096)
def _network_of(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except (
        ValueError
    ):  # a socket in the file system, or what no honest proxy writes: one bucket for all of those
        return b""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed[: IPV6_PREFIX // 8]
    return address.packed


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _load_keys(setting: str, given: Iterable[SecretStr], file: Path | None) -> list[str]:
    """The keys of a setting and of the file beside it.

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
    """Refuse a key that no header could bring."""
    for position, sign in enumerate(key, 1):
        if not ("!" <= sign <= "~"):
            raise SettingsError(
                f"{place}: sign {position} is {sign!a}; a key may hold letters, digits and signs of ASCII, no spaces"
            )


def _rate_headers(rate: Rate, allowance: RateLimitResult) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-06, which most clients and proxies know."""
    return {
        "RateLimit-Policy": f"{rate.count};w={rate.seconds}",
        "RateLimit-Limit": str(rate.count),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
    }


def warn_if_unauthenticated(settings: Settings) -> None:
    """Log a warning where the service listens beyond this machine and asks no client for a key."""
    if not is_loopback(settings.host) and not (settings.api_keys or settings.api_keys_file):
        structlog.get_logger(__name__).warning(
            "every client that reaches this address may use the service: CAPSNET_API_KEYS is not set",
            host=settings.host,
        )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
