"""A rate that holds over all machines: counted in Redis, by the library `limits`."""

import asyncio
import math
import time

import structlog

from ..errors import SettingsError
from .rate_limit import RateLimiter, RateLimitResult

log = structlog.get_logger(__name__)

# Seconds that a request waits for Redis at most, and in which Redis is then left alone.
PATIENCE = 0.5
PAUSE = 5.0


class RedisRateLimiter:
    """Counts in a window that slides: of the minute before, the part counts that still lies in the last 60 seconds.

    While Redis does not answer, the rate holds over this machine alone.

    Parameters
    ----------
    local
        What counts while Redis does not answer; its rate is the one that Redis holds.
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

            storage = RedisStorage(
                f"async+{url}", implementation="redispy", key_prefix="capsnet", wrap_exceptions=True
            )
        except (ImportError, ConfigurationError):
            raise SettingsError(
                "CAPSNET_RATE_LIMIT_URL needs the packages limits and redis: pip install 'capsnet-service[redis]'"
            ) from None
        except ValueError as error:
            raise SettingsError(f"CAPSNET_RATE_LIMIT_URL is no URL of Redis: {error}") from None
        self.rate = local.rate
        self._local = local
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._item = RateLimitItemPerSecond(self.rate.count, self.rate.seconds)
        self._failures = (StorageError, TimeoutError)
        self._ask_at = 0.0

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Count one request in Redis or, where that fails, in this machine."""
        if time.monotonic() >= self._ask_at:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._ask(client.hex())
            except self._failures as error:
                self._ask_at = time.monotonic() + PAUSE
                log.warning(
                    "Redis does not answer; the rate holds over this machine alone",
                    reason=str(error) or "no answer in time",
                    seconds=PAUSE,
                )
        return await self._local.acquire(client)

    async def _ask(self, client: str) -> RateLimitResult:
        granted = await self._window.hit(self._item, client)
        left = await self._window.get_window_stats(self._item, client)
        seconds = max(math.ceil(left.reset_time - time.time()), 1)
        return RateLimitResult(
            granted=granted,
            remaining=left.remaining if granted else 0,
            reset=seconds,
            retry=0 if granted else seconds,
        )
