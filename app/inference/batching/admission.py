"""Admit requests of any use case: a few are in work, the others wait, and none waits too long.

Requests are admitted in the order in which they came. A request that has waited for `max_wait` seconds is refused, and
none sooner: a client that is refused at once asks again at once, and then refusals take the time of answers. Few items
are in work, so that an admitted request is answered soon.

An earlier version predicted waits and refused requests from their bytes. With 4,000 connections it admitted 1,250
requests a second where 4,400 could be answered (docs/log/serving.md).
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import ContentTooLarge, QueueFull
from .batcher import Observer

# A large request counts as so many items at most: it is computed in turns with the others, and a few clients that send
# batches of 64 must not block each other.
MAX_ITEM_WEIGHT = 16

# While a request has been in work for so many seconds, only so many items are admitted: large photographs would
# otherwise occupy the service for much longer than a client may wait.
SLOW_S = 0.5
MIN_WORKING_ITEMS = 48


class Permit:
    """The admission of one request of so many items: `async with` waits for it, holds it and gives the deadline.

    A request that does not know yet how many items it will have counts as one while it waits, and as many in work.

    A class, because two generators as context managers take 11 microseconds of each request, and this takes one.
    """

    __slots__ = ("_admission", "_deadline", "_items", "_weight")

    def __init__(self, admission: "Admission", items: int | None, deadline: float) -> None:
        self._admission = admission
        self._items = 1 if items is None else items
        self._weight = MAX_ITEM_WEIGHT if items is None else min(items, MAX_ITEM_WEIGHT)
        self._deadline = deadline

    async def __aenter__(self) -> float:
        """Wait until the request may begin; return its deadline.

        Raises
        ------
        QueueFull, ContentTooLarge
            If there is no space for all of its items, or none in time.
        """
        admission = self._admission
        if not admission._join(self._items, self._weight):
            try:
                await admission._wait_for_decision(self._weight)
            except BaseException:
                admission._leave(self._items)
                raise
        admission._entered[self] = time.monotonic()
        return self._deadline

    async def __aexit__(self, *_: object) -> None:
        """Count the request out, and admit the next."""
        admission = self._admission
        del admission._entered[self]
        admission._working -= self._weight
        admission._leave(self._items)


class _Waiting(NamedTuple):
    """A request that waits."""

    decision: asyncio.Future[str]  # why it is refused; empty where it is admitted
    weight: int
    since: float


class Admission:
    """Counts the items of requests that wait or are in work.

    Parameters
    ----------
    working_items
        Items that may be in work at a time.
    max_items
        Most items at a time, waiting or in work.
    max_wait
        Seconds of waiting after which a request is refused.
    observers
        Called with the number of waiting requests whenever it changes.
    """

    def __init__(
        self,
        working_items: int,
        max_items: int,
        max_wait: float,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._working_items = max(working_items, MIN_WORKING_ITEMS)
        self._max_items = max_items
        self._max_wait = max_wait
        self._observers = observers
        self._held = 0  # items that wait or are in work
        self._working = 0  # weight of the items in work
        self._entered: dict[Permit, float] = {}  # when each was admitted, the oldest first
        self._queue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Tell whether no request waits or is in work."""
        return not (self._held or self._working or self._entered)

    def _join(self, items: int, weight: int) -> bool:
        """Count a request in, and tell whether it may begin at once.

        Raises
        ------
        QueueFull, ContentTooLarge
            If there is no space for all of its items.
        """
        if items > self._max_items:
            raise ContentTooLarge(
                f"the request holds {items} items; at most {self._max_items} are taken at a time"
            )
        if self._held + items > self._max_items:
            raise self._full(f"{self._held} items are waiting or in work, of at most {self._max_items}")
        self._held += items
        if self._queue or not self._has_space(weight):
            return False
        self._working += weight
        return True

    def _leave(self, items: int) -> None:
        """Count a request out, and admit waiting ones."""
        self._held -= items
        self._admit_waiting()

    def _has_space(self, weight: int) -> bool:
        if self._working + weight <= MIN_WORKING_ITEMS or not self._working:
            return True
        oldest = next(iter(self._entered.values()), math.inf)
        return self._working + weight <= self._working_items and time.monotonic() - oldest < SLOW_S

    async def _wait_for_decision(self, weight: int) -> None:
        """Return when the request is admitted, and counts as in work; raises QueueFull."""
        loop = asyncio.get_running_loop()
        decision: asyncio.Future[str] = loop.create_future()
        self._queue.append(_Waiting(decision, weight, time.monotonic()))
        self._report()
        if self._timer is None:
            self._timer = loop.call_later(self._max_wait, self._refuse_late)
        try:
            refusal = await decision
        except asyncio.CancelledError:
            if decision.done() and not decision.cancelled() and not decision.result():
                self._working -= weight  # it was admitted just before its client left
            raise
        if refusal:
            raise self._full(refusal)

    def _admit_waiting(self) -> None:
        """Admit waiting requests in their order, as long as there is space."""
        before = len(self._queue)
        while self._queue and (self._queue[0].decision.done() or self._has_space(self._queue[0].weight)):
            first = self._queue.popleft()
            if not first.decision.done():  # its client has not left
                self._working += first.weight
                first.decision.set_result("")
        if len(self._queue) != before:
            self._report()

    def _refuse_late(self) -> None:
        """Refuse requests that have waited too long; run again when the next one will have."""
        self._timer = None
        now = time.monotonic()
        while self._queue and (
            self._queue[0].decision.done() or now - self._queue[0].since >= self._max_wait
        ):
            first = self._queue.popleft()
            if not first.decision.done():
                ahead = self._held - len(self._queue) - 1
                first.decision.set_result(
                    f"no place within {self._max_wait:g} s; {ahead} other items wait or are in work"
                )
        self._report()
        if self._queue:
            wait = self._queue[0].since + self._max_wait - now
            self._timer = asyncio.get_running_loop().call_later(wait, self._refuse_late)

    def _report(self) -> None:
        for observer in self._observers:
            observer.on_queue_size(len(self._queue))

    def _full(self, detail: str) -> QueueFull:
        """Return the refusal; after `max_wait` seconds all requests that wait now are admitted or refused."""
        return QueueFull(detail, retry=math.ceil(self._max_wait))
