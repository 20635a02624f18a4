"""Limit the requests of each client: a rate as people write it, and a bucket for each of many clients.

The buckets are those of the generic cell rate algorithm (ATM Forum, Traffic Management 4.0): of a client nothing is
kept but the moment at which its bucket will be full again.
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

from ..observability.metrics import FOLDER_VARIABLE
from ..settings import Rate, Settings

# Clients that are remembered: some ten megabytes.
MOST_CLIENTS = 65_536


@dataclass(frozen=True)
class RateLimitResult:
    """What a client is told: whether it may, what it has left, and in how many seconds that will be more.

    `reset` is when its bucket will be full, `retry` when it may ask again; both in whole seconds, rounded up.
    """

    granted: bool
    remaining: int
    reset: int
    retry: int


class Limiter(Protocol):
    """Counts the requests of each client."""

    rate: Rate

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Count one request of a client, and say whether it may be answered."""


# Takes the moment at which a bucket would be full; returns that moment after a request, and what the client is told.
Step = Callable[[float], tuple[float, RateLimitResult]]


class Buckets(Protocol):
    """Keeps the moment at which each client's bucket will be full."""

    def change(self, client: bytes, step: Step) -> RateLimitResult:
        """Replace the client's moment (0 where it has none) by that which `step` makes of it."""


class MemoryBuckets:
    """Buckets of this process alone; of more than `most` clients, the one that asked longest ago is forgotten."""

    def __init__(self, most: int = MOST_CLIENTS) -> None:
        self._most = most
        self._full_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def change(self, client: bytes, step: Step) -> RateLimitResult:
        """Replace the client's moment; it is then the last to be forgotten."""
        self._full_at[client], result = step(self._full_at.pop(client, 0.0))
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return result


class RateLimiter:
    """One bucket a client: full it holds `rate.count` requests, and it fills evenly.

    Parameters
    ----------
    rate
        What every client may.
    buckets
        Where the buckets are kept; in this process without any.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, rate: Rate, buckets: Buckets | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self._interval = rate.seconds / rate.count
        self._buckets = MemoryBuckets() if buckets is None else buckets
        self._clock = clock

    async def acquire(self, client: bytes) -> RateLimitResult:
        """Take one request out of the client's bucket, if there is one in it."""
        return self.take(client)

    def take(self, client: bytes) -> RateLimitResult:
        """Do what `acquire` does: nothing here needs to be waited for."""
        return self._buckets.change(client, self._step)

    def _step(self, full_at: float) -> tuple[float, RateLimitResult]:
        now = self._clock()
        # A moment that no bucket can have was written before the machine, and with it the clock, started.
        full_at = now if full_at > now + 1.01 * self.rate.seconds else max(full_at, now)
        room = self.rate.seconds - (full_at - now)  # in seconds of filling
        granted = room >= self._interval * (1 - 1e-6)  # sums of intervals are rounded
        if granted:
            full_at += self._interval
            room -= self._interval
        return full_at, RateLimitResult(
            granted=granted,
            remaining=max(int(room / self._interval + 1e-6), 0),
            reset=math.ceil(full_at - now),
            retry=0 if granted else max(math.ceil(self._interval - room), 1),
        )


def load_limiter(settings: Settings) -> Limiter | None:
    """Return what counts requests by the settings: Redis, memory that all workers share, or this process alone.

    Raises
    ------
    SettingsError
        If Redis is named and the packages for it are missing, or the URL is none.
    """
    if settings.rate_limit is None:
        return None
    folder = os.environ.get(FOLDER_VARIABLE)
    buckets: Buckets | None = None
    if folder and sys.platform != "win32":
        from .shared_buckets import SharedBuckets

        buckets = SharedBuckets(Path(folder))
    local = RateLimiter(settings.rate_limit, buckets)
    if settings.rate_limit_url is None:
        return local
    from .redis_rate_limit import RedisRateLimiter

    return RedisRateLimiter(local, settings.rate_limit_url.get_secret_value())
