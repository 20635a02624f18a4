"""Limit the requests of each client: a rate as people write it, and a bucket for each of many clients.

The buckets are those of the generic cell rate algorithm (ATM Forum, Traffic Management 4.0): of a client nothing is
kept but the moment at which its bucket will be full again.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..settings import Rate

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


class RateLimiter:
    """One bucket a client: full it holds `rate.count` requests, and it fills evenly.

    Parameters
    ----------
    rate
        What every client may.
    most
        Clients that are remembered. Where there are more, the one that asked longest ago begins again.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, rate: Rate, most: int = MOST_CLIENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self._interval = rate.seconds / rate.count
        self._most = most
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def acquire(self, client: Hashable) -> RateLimitResult:
        """Take one request out of the client's bucket, if there is one in it."""
        now = self._clock()
        full_at = max(self._full_at.pop(client, now), now)
        room = self.rate.seconds - (full_at - now)  # in seconds of filling
        granted = room >= self._interval * (1 - 1e-6)  # sums of intervals are rounded
        if granted:
            full_at += self._interval
            room -= self._interval
        self._full_at[client] = full_at  # as the last: in the order of their requests
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return RateLimitResult(
            granted=granted,
            remaining=max(int(room / self._interval + 1e-6), 0),
            reset=math.ceil(full_at - now),
            retry=0 if granted else max(math.ceil(self._interval - room), 1),
        )
