"""Admit requests of any use case: a few are in work, the others wait in line, and none waits there too long.

The order of the line is that in which requests came. Who has waited for `max_wait` seconds is refused, and none
sooner: a client that is refused at once asks again at once, and then refusals take the time of answers. Little is in
work, so that a request that was let in is answered soon.

A pace of answers, foretold waits and refusals from bytes did this before. With 4,000 connections they let in 1,250
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

# A large request counts as so many items at most: it takes turns with the others, and a few clients that send batches
# of 64 must not keep each other out.
MAX_ITEM_WEIGHT = 16

# Where a request has been in work for so many seconds, only so many items are let in: large photographs would otherwise
# fill the work for much longer than a client may wait.
SLOW_S = 0.5
MIN_WORKING_ITEMS = 48


class Place:
    """A request's place: in line, then in work, until it is answered.

    A class, because two generators as context managers take 11 microseconds of each request, and this takes one.
    """

    __slots__ = ("_admission", "_deadline", "_items", "_weight")

    def __init__(self, admission: "Admission", items: int, deadline: float) -> None:
        self._admission = admission
        self._items = items
        self._weight = min(items, MAX_ITEM_WEIGHT)
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
                await admission._stand_in_line(self._weight)
            except BaseException:
                admission._leave(self._items)
                raise
        admission._entered[self] = time.monotonic()
        return self._deadline

    async def __aexit__(self, *_: object) -> None:
        """Give the place to the next."""
        admission = self._admission
        del admission._entered[self]
        admission._working -= self._weight
        admission._leave(self._items)


class _Waiting(NamedTuple):
    """A request in line."""

    turn: asyncio.Future[str]  # why it is refused; empty where it is let in
    weight: int
    since: float


class Admission:
    """Counts the items of requests that wait or are in work.

    Parameters
    ----------
    working_items
        Items that may be in work at a time.
    max_items
        Most items at a time, in line or in work.
    max_wait
        Seconds in line after which a request is refused.
    observers
        Hear how many requests stand in line, whenever that changes.
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
        self._held = 0
        self._working = 0  # as `_held`, of those in work, each with its weight
        self._entered: dict[
            Place, float
        ] = {}  # the moment at which each of them was let in; the oldest is first
        self._line: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or is in work."""
        return not (self._held or self._working or self._entered)

    def place(self, items: int, deadline: float) -> "Place":
        """Return a place for a request of so many items: `async with` waits for it, holds it and gives the deadline."""
        return Place(self, items, deadline)

    def _join(self, items: int, weight: int) -> bool:
        """Count a request in; whether it may begin at once.

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
        if self._line or not self._has_space(weight):
            return False
        self._working += weight
        return True

    def _leave(self, items: int) -> None:
        """Count a request out."""
        self._held -= items
        self._let_in()

    def _has_space(self, weight: int) -> bool:
        if self._working + weight <= MIN_WORKING_ITEMS or not self._working:
            return True
        oldest = next(iter(self._entered.values()), math.inf)
        return self._working + weight <= self._working_items and time.monotonic() - oldest < SLOW_S

    async def _stand_in_line(self, weight: int) -> None:
        """Return when the request is let in, and counts as in work; raises QueueFull."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[str] = loop.create_future()
        self._line.append(_Waiting(turn, weight, time.monotonic()))
        self._report()
        if self._timer is None:
            self._timer = loop.call_later(self._max_wait, self._refuse_late)
        try:
            refusal = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.result():
                self._working -= weight  # it was let in at the moment at which its client left
            raise
        if refusal:
            raise self._full(refusal)

    def _let_in(self) -> None:
        """Let in who is first in line, as long as there is space."""
        before = len(self._line)
        while self._line and (self._line[0].turn.done() or self._has_space(self._line[0].weight)):
            first = self._line.popleft()
            if not first.turn.done():  # its client has not left
                self._working += first.weight
                first.turn.set_result("")
        if len(self._line) != before:
            self._report()

    def _refuse_late(self) -> None:
        """Refuse who has waited too long; look again when the next one will have."""
        self._timer = None
        now = time.monotonic()
        while self._line and (self._line[0].turn.done() or now - self._line[0].since >= self._max_wait):
            first = self._line.popleft()
            if not first.turn.done():
                ahead = self._held - len(self._line) - 1
                first.turn.set_result(
                    f"no place within {self._max_wait:g} s; {ahead} other items wait or are in work"
                )
        self._report()
        if self._line:
            wait = self._line[0].since + self._max_wait - now
            self._timer = asyncio.get_running_loop().call_later(wait, self._refuse_late)

    def _report(self) -> None:
        for observer in self._observers:
            observer.on_queue_size(len(self._line))

    def _full(self, detail: str) -> QueueFull:
        """The refusal: when all who stand in line now have been let in or refused, it is worth while to return."""
        return QueueFull(detail, retry=math.ceil(self._max_wait))
