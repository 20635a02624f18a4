"""The steps of one batch, noted where they happen and read where the batch was started."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple


class Timing(NamedTuple):
    """What was done from one moment to another, both of `time.monotonic()`."""

    name: str
    started: float
    ended: float


_noted: ContextVar[list[Timing] | None] = ContextVar("noted", default=None)


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Note how long the block takes, where a batch takes notes."""
    started = time.monotonic()
    try:
        yield
    finally:
        if (steps := _noted.get()) is not None:
            steps.append(Timing(name, started, time.monotonic()))


def collect_timings() -> list[Timing]:
    """A list to which the steps that follow in this thread are added."""
    steps: list[Timing] = []
    _noted.set(steps)
    return steps
