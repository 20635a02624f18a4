"""Split requests into slices, run the slices of many requests as a batch, and deliver the results."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from ...errors import DeadlineExceeded
from .timing import Timing, collect_timings


class BatchRun(NamedTuple):
    """One batch: its results or its error, and its times (`time.monotonic()`)."""

    results: Sequence[Any]
    error: Exception | None
    started: float
    ended: float
    steps: list[Timing]


class RequestSlice:
    """The part of a request that runs in one batch."""

    __slots__ = ("items", "request", "start")

    def __init__(self, request: "PendingRequest", start: int, items: Sequence[Any]) -> None:
        self.request = request
        self.start = start
        self.items = items


class PendingRequest:
    """The items of one `submit` and the future that answers it."""

    __slots__ = (
        "answer",
        "arrived",
        "deadline",
        "items",
        "priority",
        "remaining",
        "results",
        "runs",
        "waiting",
    )

    def __init__(self, items: Sequence[Any], deadline: float) -> None:
        self.items = items
        self.deadline = deadline
        self.priority = deadline  # the lowest is served first; after a slice the request gets a later one
        self.waiting = len(items)
        self.remaining = len(items)
        self.results: list[Any] = [None] * len(items)
        self.arrived = time.monotonic()
        self.runs: list[BatchRun] = []
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def expire(self, now: float) -> None:
        """Answer a request that is past its deadline."""
        if not self.answer.done() and now > self.deadline:
            self.answer.set_exception(DeadlineExceeded("the request's time passed before it was worked off"))

    def take(self, most: int) -> RequestSlice:
        """Remove the next items, at most `most` of them."""
        start = len(self.items) - self.waiting
        part = RequestSlice(self, start, self.items[start : start + most])
        self.waiting -= len(part.items)
        return part

    def deliver(self, part: RequestSlice, results: Sequence[Any], run: BatchRun) -> None:
        """Enter the results of one slice; answer when none is missing, or at the first error."""
        self.runs.append(run)
        if self.answer.done():  # cancelled, or failed in another batch
            return
        if run.error is not None:
            self.answer.set_exception(run.error)
            return
        self.results[part.start : part.start + len(results)] = results
        self.remaining -= len(results)
        if not self.remaining:
            self.answer.set_result(self.results)


def deliver(slices: list[RequestSlice], run: BatchRun) -> int:
    """Give each request of a batch its part of the results, or the error; return how many items those were."""
    position = 0
    for part in slices:
        part.request.deliver(part, run.results[position : position + len(part.items)], run)
        position += len(part.items)
    return position


def run_batch(run: Callable[[list[Any]], Sequence[Any]], items: list[Any]) -> BatchRun:
    """Call `run`; return an error instead of raising it, so that no request is left waiting."""
    steps = collect_timings()
    started = time.monotonic()
    results: Sequence[Any] = []
    error: Exception | None = None
    try:
        results = run(items)
        if len(results) != len(items):
            error = RuntimeError(f"a batch of {len(items)} items gave {len(results)} results")
    except BaseException as raised:  # noqa: BLE001  # whatever it is, a client waits for an answer
        carried = isinstance(raised, Exception) and not isinstance(raised, StopIteration)
        error = cast(Exception, raised) if carried else RuntimeError(f"a batch raised {raised!r}")
    try:
        return BatchRun(results, error, started, time.monotonic(), steps)
    finally:
        del error  # its traceback has this frame, and that cycle would keep the items
