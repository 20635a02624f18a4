"""Admit a request of any use case, or refuse it at once because it would take too long."""

import contextlib
import time
from collections.abc import Iterator

from ...errors import ContentTooLarge, QueueFull, unwrap

# Items that are let in whatever they are expected to wait: so many tell how fast the service is, and where photographs
# have made it slow, digits can make it fast again.
MIN_ADMITTED_ITEMS = 64

# A large request counts as so many items at most: it takes turns with the others, and a few clients that send batches
# of 64 must not keep each other out.
MAX_ITEM_WEIGHT = 16

# Seconds over which answers are counted, and how many items must be admitted all that time: where fewer wait
# it is they that are slow to come, and not the service.
RATE_WINDOW_S = 0.25
BUSY_ITEMS = 16


class Admission:
    """Counts the items of requests that were let in and are not answered.

    Under overload a queue is always as long as it may be, so a bound on items alone is a wait for
    all requests, as long as the machine is slow. The second bound is a wait: the admitted items, by the rate at which
    the service lately answered when it was busy.

    Parameters
    ----------
    max_items
        Most items at a time.
    max_wait
        Most seconds that a request may expect to wait for those before it.
    """

    def __init__(self, max_items: int, max_wait: float) -> None:
        self._max_items = max_items
        self._max_wait = max_wait
        self._held = 0
        self._ahead = 0  # as `_held`, of each request at most a share
        self._pace: float | None = None  # items a second, while busy
        self._answered = 0
        self._since = 0.0

    def check(self, items: int = 1, *, arrived: int = 0) -> QueueFull | None:
        """Why a request of so many items would be refused now, if it would.

        `arrived` requests have come, whether or not they have been let in already.
        """
        ahead = max(self._ahead, arrived)
        if self._held + items > self._max_items:
            return QueueFull(f"{self._held} items are waiting or in work, of at most {self._max_items}")
        if self._pace is None or ahead < MIN_ADMITTED_ITEMS:
            return None
        if ahead >= self._pace * self._max_wait:
            return QueueFull(
                f"{ahead} items are waiting or in work, and {self._pace:.0f} are answered a second; "
                f"a request may wait for {self._max_wait:g} s"
            )
        return None

    @contextlib.contextmanager
    def admitted(self, items: int) -> Iterator[None]:
        """A place for a request of so many items until it is answered.

        A request refused later, on its way from one queue to the next, would have been computed in part and for
        nothing; under load that would be the fate of most.

        Raises
        ------
        QueueFull, ContentTooLarge
            If there is no space for all of them, or they would wait too long.
        """
        if items > self._max_items:
            raise ContentTooLarge(
                f"the request holds {items} items; at most {self._max_items} are taken at a time"
            )
        unwrap(self.check(items))
        share = min(items, MAX_ITEM_WEIGHT)
        if self._ahead < BUSY_ITEMS <= self._ahead + share:
            self._answered, self._since = 0, time.monotonic()
        self._held += items
        self._ahead += share
        try:
            yield
        finally:
            self._held -= items
            self._ahead -= share
            self._count(items)

    def _count(self, items: int) -> None:
        """Measure the pace, in windows that were busy from end to end."""
        if self._ahead < BUSY_ITEMS:
            return
        now = time.monotonic()
        self._answered += items
        if (seconds := now - self._since) >= RATE_WINDOW_S:
            self._pace = self._answered / seconds
            self._answered, self._since = 0, now
