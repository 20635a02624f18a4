"""Limit the requests of each client: a rate, and a bucket for each of many clients.

The buckets follow the generic cell rate algorithm (ATM Forum, Traffic Management 4.0): for each client it keeps only
the time at which its bucket will be full again.
"""

import math
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import SettingsError
from ..observability.metrics import FOLDER_VARIABLE
from ..settings import Rate, Settings

# Clients that are remembered: some ten megabytes.
MOST_CLIENTS = 65_536


@dataclass(frozen=True)
class RateLimitResult:
    """The result of one request: whether it is granted, how many are left, and when there will be more.

    `reset` is when the bucket will be full, `retry` when the client may ask again; both in seconds, rounded up.
    """

    granted: bool
    remaining: int
    reset: int
    retry: int


class Limiter(Protocol):
    """Counts the requests of each client."""

    rate: Rate

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Count one request of a client, and tell whether it may be answered."""


# Takes the time at which a bucket would be full; returns that time after a request, and the result of the request.
Step = Callable[[float], tuple[float, RateLimitResult]]


class BucketStore(Protocol):
    """Keeps the time at which each client's bucket will be full."""

    def change(self, client: bytes, step: Step) -> RateLimitResult:
        """Replace the client's time (0 where it has none) by the one that `step` returns."""


class MemoryBuckets:
    """Buckets of this process alone; beyond `most` clients, the one that asked longest ago is dropped."""

    def __init__(self, most: int = MOST_CLIENTS) -> None:
        self._most = most
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def change(self, client: bytes, step: Step) -> RateLimitResult:
        """Replace the client's time; the client becomes the last to be dropped."""
        self._full_at[client], result = step(self._full_at.pop(client, 0.0))
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return result


class RateLimiter:
    """One bucket a client: full it holds `rate.count` requests, and it fills evenly.

    Parameters
    ----------
    rate
        Requests that every client may send.
    buckets
        Storage of the buckets; by default this process.
    clock
        Monotonic clock in seconds.
    """

    def __init__(
        self, rate: Rate, buckets: BucketStore | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self._interval = rate.seconds / rate.count
        self._buckets = MemoryBuckets() if buckets is None else buckets
        self._clock = clock

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Take one request out of the client's bucket, if there is one in it."""
        return self.take(client)

    def take(self, client: bytes) -> RateLimitResult:
        """Do what `acquire` does, without waiting: the buckets are in memory."""
        return self._buckets.change(client, self._step)

    def _step(self, full_at: float) -> tuple[float, RateLimitResult]:
        now = self._clock()
        # A time too far ahead was written before the machine, and with it the clock, started.
        full_at = now if full_at > now + 1.01 * self.rate.seconds else max(full_at, now)
        level = self.rate.seconds - (full_at - now)  # of the bucket, in seconds of filling
        granted = level >= self._interval * (1 - 1e-6)  # sums of intervals are rounded
        if granted:
            full_at += self._interval
            level -= self._interval
        return full_at, RateLimitResult(
            granted=granted,
            remaining=max(int(level / self._interval + 1e-6), 0),
            reset=math.ceil(full_at - now),
            retry=0 if granted else max(math.ceil(self._interval - level), 1),
        )


def load_limiter(settings: Settings) -> Limiter | None:
    """Return the limiter that the settings name: in Redis, in memory that all workers share, or in this process.

    Raises
    ------
    SettingsError
        If Redis is named and no rate, the packages for it are missing, or the URL is none.
    SharedFolderError
        As `SharedBuckets` raises it.
    """
    if settings.rate_limit is None:
        if settings.rate_limit_url is not None:
            raise SettingsError(
                "CAPSNET_RATE_LIMIT_URL counts for CAPSNET_RATE_LIMIT, which is not set; set both"
            )
        return None
    folder = os.environ.get(FOLDER_VARIABLE)
    buckets: BucketStore | None = None
    if folder and sys.platform != "win32":
        from .shared_buckets import SharedBuckets

        buckets = SharedBuckets(Path(folder))
    local = RateLimiter(settings.rate_limit, buckets)
    if settings.rate_limit_url is None:
        return local
    from .redis_rate_limit import RedisRateLimiter

    return RedisRateLimiter(local, settings.rate_limit_url.get_secret_value())
