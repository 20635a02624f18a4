"""A queue before a few slots: work that waits while the slots are busy leaves together, as a batch.

Slots first, then drain: a batch is put together only when a slot is free to run it, so there is no timer, no added
delay, and batches grow by themselves under load. The slots belong to the device and are shared by all queues; a free
slot serves the queue whose head has waited longest and takes its share of that queue, not everything.

Knows neither models nor arrays: items go in, results come out. All bookkeeping happens on the event loop's thread, so
there are no locks; only `run` itself is called in another thread.

A request of many items is admitted whole and computed in shares, after each of which it goes to the back of its queue:
whoever comes with one item waits for one share of it and not for all.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar, cast

from app.errors import DeadlineExceeded, NotReady, QueueFull, TooLarge

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher:
    """The slots of one device.

    Parameters
    ----------
    slots
        How many batches may run at the same time.
    max_queue
        How many items may wait, over all queues.
    name
        Begins the names of the threads.
    """

    def __init__(self, slots: int, max_queue: int, name: str = "batcher") -> None:
        self.slots = slots
        self.max_queue = max_queue
        self._free = slots
        self._queues: list[Queue[Any, Any]] = []
        self._arrivals = itertools.count()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix=name)
        self._closed = False
        self._unfinished = 0
        self._finished = asyncio.Event()

    def queue(self, run: Callable[[list[Item]], Sequence[Result]], max_batch: int) -> "Queue[Item, Result]":
        """A queue whose batches of at most `max_batch` items `run` turns into as many results, in order."""
        queue: Queue[Item, Result] = Queue(self, run, max_batch)
        self._queues.append(queue)
        return queue

    @property
    def waiting(self) -> int:
        """How many items wait, over all queues."""
        return sum(queue.waiting for queue in self._queues)

    async def close(self) -> None:
        """Refuse new work, wait until all accepted work is finished, and end the threads."""
        self._closed = True
        while self._unfinished:
            self._finished.clear()
            await self._finished.wait()
        await asyncio.to_thread(self._threads.shutdown)

    def _admit(self, count: int) -> None:
        """Count a request of `count` items in, or refuse it."""
        if self._closed:
            raise NotReady("the service is shutting down")
        if count > self.max_queue:
            raise TooLarge(f"the request holds {count} items; at most {self.max_queue} may wait at a time")
        if (waiting := self.waiting) + count > self.max_queue:
            raise QueueFull(f"{waiting} items are waiting, of at most {self.max_queue}")
        self._unfinished += 1

    def _leave(self) -> None:
        """Count a request out."""
        self._unfinished -= 1
        if not self._unfinished:
            self._finished.set()

    def _fill_slots(self) -> None:
        """Start batches as long as a slot is free and something waits."""
        while self._free and (queue := self._oldest()):
            if batch := queue._take(self.slots):
                self._start(queue, batch)

    def _oldest(self) -> "Queue[Any, Any] | None":
        """The queue whose head came first."""
        waiting = [queue for queue in self._queues if queue._requests]
        return min(waiting, key=lambda queue: queue._requests[0].arrival, default=None)

    def _start(self, queue: "Queue[Any, Any]", batch: list["_Share"]) -> None:
        self._free -= 1
        items = [item for share in batch for item in share.items]
        future = asyncio.get_running_loop().run_in_executor(self._threads, _attempt, queue._run, items)
        future.add_done_callback(lambda done: self._finish(batch, *done.result()))

    def _finish(self, batch: list["_Share"], results: Sequence[Any], error: Exception | None) -> None:
        """Hand the results back, free the slot, and fill it again."""
        self._free += 1
        position = 0
        for share in batch:
            share.request.settle(share, results[position : position + len(share.items)], error)
            position += len(share.items)
        self._fill_slots()


class Queue(Generic[Item, Result]):
    """Work of one kind on the way to the shared slots; made by `Batcher.queue`."""

    def __init__(
        self, batcher: Batcher, run: Callable[[list[Item]], Sequence[Result]], max_batch: int
    ) -> None:
        self._batcher = batcher
        self._run = run
        self._max_batch = max_batch
        self.waiting = 0
        self._requests: deque[_Request] = deque()

    async def submit(self, items: Sequence[Item], deadline: float) -> list[Result]:
        """Wait for the results of `items`, in their order.

        Parameters
        ----------
        items
            Admitted all together or not at all; they may run in several batches.
        deadline
            Moment of `time.monotonic()` after which what still waits is dropped.

        Raises
        ------
        QueueFull, TooLarge, NotReady
            If the items are not admitted.
        DeadlineExceeded
            If the deadline passed while some of them waited.
        Exception
            Whatever `run` raised for a batch that held one of them.
        """
        if not items:
            return []
        self._batcher._admit(len(items))
        request = _Request(items, deadline, next(self._batcher._arrivals))
        self._requests.append(request)
        self.waiting += len(items)
        self._batcher._fill_slots()
        try:
            return await request.answer
        finally:
            self.waiting -= request.waiting  # cancelled, expired or failed: the rest of it will not run
            request.waiting = 0
            self._batcher._leave()

    def _take(self, slots: int) -> list["_Share"]:
        """Remove the next batch: one slot's share of what waits here, in turn, the dead left out."""
        room = min(self._max_batch, -(-self.waiting // slots))
        batch: list[_Share] = []
        now = time.monotonic()
        while self._requests:
            request = self._requests[0]
            if request.is_dead(now):
                self._requests.popleft()
                continue
            if not room:
                break
            share = request.take(room)
            room -= len(share.items)
            self.waiting -= len(share.items)
            batch.append(share)
            self._requests.popleft()
            if request.waiting:  # to the back: a request of many items takes turns with the others
                request.arrival = next(self._batcher._arrivals)
                self._requests.append(request)
        return batch


class _Share:
    """The part of a request that runs in one batch."""

    __slots__ = ("items", "request", "start")

    def __init__(self, request: "_Request", start: int, items: Sequence[Any]) -> None:
        self.request = request
        self.start = start
        self.items = items


class _Request:
    """The items of one `submit` and the future that answers it."""

    __slots__ = ("answer", "arrival", "deadline", "items", "missing", "results", "waiting")

    def __init__(self, items: Sequence[Any], deadline: float, arrival: int) -> None:
        self.items = items
        self.deadline = deadline
        self.arrival = arrival
        self.waiting = len(items)
        self.missing = len(items)
        self.results: list[Any] = [None] * len(items)
        self.answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def is_dead(self, now: float) -> bool:
        """Whether nobody waits for it any more; a request past its deadline is answered so here."""
        if not self.answer.done() and now > self.deadline:
            self.answer.set_exception(
                DeadlineExceeded("the request's time passed while it waited in the queue")
            )
        return self.answer.done()

    def take(self, room: int) -> _Share:
        """Remove the next items, at most `room`."""
        start = len(self.items) - self.waiting
        share = _Share(self, start, self.items[start : start + room])
        self.waiting -= len(share.items)
        return share

    def settle(self, share: _Share, results: Sequence[Any], error: Exception | None) -> None:
        """Enter the results of one share; answer when none is missing, or at the first error."""
        if self.answer.done():  # cancelled, or failed in another batch
            return
        if error is not None:
            self.answer.set_exception(error)
            return
        self.results[share.start : share.start + len(results)] = results
        self.missing -= len(results)
        if not self.missing:
            self.answer.set_result(self.results)


def _attempt(
    run: Callable[[list[Any]], Sequence[Any]], items: list[Any]
) -> tuple[Sequence[Any], Exception | None]:
    """Call `run` in a thread; an error is a value here, so that nothing can escape and leave callers waiting."""
    try:
        results = run(items)
    except BaseException as error:  # noqa: BLE001  # whatever it is, somebody waits for an answer
        carried = isinstance(error, Exception) and not isinstance(error, StopIteration)
        return [], cast(Exception, error) if carried else RuntimeError(f"a batch raised {error!r}")
    if len(results) != len(items):
        return [], RuntimeError(f"a batch of {len(items)} items gave {len(results)} results")
    return results, None
