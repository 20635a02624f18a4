"""Apply a rate limit over all machines: requests are counted in Redis, by the library `limits`."""

import asyncio
import math
import time

import structlog

from ..errors import SettingsError
from .rate_limit import RateLimiter, RateLimitResult

log = structlog.get_logger(__name__)

# A request waits so long for Redis at most; after a failure Redis is not asked for the pause.
TIMEOUT_S = 0.5
PAUSE_S = 5.0

PACKAGES_MISSING = "CAPSNET_RATE_LIMIT_URL needs two more packages: pip install limits redis"


class RedisRateLimiter:
    """Counts in a sliding window: of the window before, the part that lies in the last `rate.seconds` counts.

    While Redis does not answer, the limit holds for this machine alone.

    Parameters
    ----------
    local
        Limiter for the time while Redis does not answer; Redis gets its rate.
    url
        Such as `redis://:password@host:6379/0`.

    Raises
    ------
    SettingsError
        If the packages are missing or the URL cannot be understood.
    """

    def __init__(self, local: RateLimiter, url: str) -> None:
        try:
            from limits import RateLimitItemPerSecond
            from limits.aio.storage import RedisStorage
            from limits.aio.strategies import SlidingWindowCounterRateLimiter
            from limits.errors import ConfigurationError, StorageError
        except ImportError:
            raise SettingsError(PACKAGES_MISSING) from None
        try:
            storage = RedisStorage(
                f"async+{url}", implementation="redispy", key_prefix="capsnet", wrap_exceptions=True
            )
        except ConfigurationError:  # limits is there, and redis is not
            raise SettingsError(PACKAGES_MISSING) from None
        except ValueError as error:
            raise SettingsError(f"CAPSNET_RATE_LIMIT_URL is no URL of Redis: {error}") from None
        self.rate = local.rate
        self._local = local
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._item = RateLimitItemPerSecond(self.rate.count, self.rate.seconds)
        self._failures = (StorageError, TimeoutError)
        self._ask_at = 0.0

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Count one request in Redis or, where that fails, on this machine."""
        if time.monotonic() >= self._ask_at:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await self._ask(client.hex())
            except self._failures as error:
                self._ask_at = time.monotonic() + PAUSE_S
                log.warning(
                    "Redis does not answer; the rate holds over this machine alone",
                    reason=str(error) or "no answer in time",
                    seconds=PAUSE_S,
                )
        return await self._local.acquire(client)

    async def _ask(self, client: str) -> RateLimitResult:
        granted = await self._window.hit(self._item, client)
        window = await self._window.get_window_stats(self._item, client)
        seconds = max(math.ceil(window.reset_time - time.time()), 1)
        return RateLimitResult(
            granted=granted,
            remaining=window.remaining if granted else 0,
            reset=seconds,
            retry=0 if granted else seconds,
        )
