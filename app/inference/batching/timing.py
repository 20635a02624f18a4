"""Record the steps of one batch where they happen, for the code that started the batch."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple


class Timing(NamedTuple):
    """One step with its start and end (`time.monotonic()`)."""

    name: str
    started: float
    ended: float


_timings: ContextVar[list[Timing] | None] = ContextVar("timings", default=None)


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Record how long the block takes, where a batch collects timings."""
    started = time.monotonic()
    try:
        yield
    finally:
        if (steps := _timings.get()) is not None:
            steps.append(Timing(name, started, time.monotonic()))


def collect_timings() -> list[Timing]:
    """Return a list to which the next steps of this thread are added."""
    steps: list[Timing] = []
    _timings.set(steps)
    return steps
