"""Form batches: items that wait while all slots are busy leave together when a slot becomes free.

A batch is formed only when a slot is free to run it. So there is no timer and no added delay, and batches grow by
themselves under load. The slots belong to the device, and all queues share them. A free slot serves the queue whose
first request is oldest, and takes one slot's part of that queue. The deadline tells the age: a request that comes to a
second queue with the deadline of the first goes before those that came after it.

A request of many items is admitted whole and computed in slices. After each slice it goes behind all that waits, so a
request of one item waits for one slice of it and not for all.

Where a process has one slot, a short batch is run on the event loop, cut to the time that is allowed there: handing it
to a thread, and the GIL there and back, costs more than the loop loses (docs/performance.md).

This module knows neither models nor arrays: items go in, results come out. All bookkeeping happens on the event loop's
thread, so there are no locks; only `run` is called in another thread.
"""

import asyncio
import contextvars
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ...errors import ContentTooLarge, NotReady, QueueFull
from .requests import BatchRun, PendingRequest, RequestSlice, deliver, run_batch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds between two checks for requests whose deadline has passed although no slot became free.
EXPIRY_CHECK_S = 0.25

# Weight of the last batch in the moving average that predicts the time of the next.
THROUGHPUT_SMOOTHING = 0.2

# A batch that has run for so many seconds is taken as lost.
STALLED_S = 30.0


class Observer(Protocol):
    """Is told what a queue does, on the event loop's thread; it must be quick."""

    def on_queue_size(self, items: int) -> None:
        """Record how many items wait now."""

    def on_batch(self, items: int, run: BatchRun) -> None:
        """Record that a batch of so many items was run."""

    def on_complete(self, arrived: float, runs: Sequence[BatchRun]) -> None:
        """Record that a request has its answer; called in the context of its `submit`."""


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
    inline_budget_s
        Seconds that a batch may take on the event loop, if there is one slot; with 0 all batches run in threads.
    """

    def __init__(
        self, slots: int, max_queue: int, name: str = "batcher", inline_budget_s: float = 0.0
    ) -> None:
        self.slots = slots
        self.max_queue = max_queue
        self._inline_budget_s = inline_budget_s if slots == 1 else 0.0
        self._will_run = False
        self._free = slots
        self._latest = 0.0  # of the priorities that requests were given
        self._queues: list[Queue[Any, Any]] = []
        self._running: dict[asyncio.Future[Any], _Batch] = {}
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix=name)
        self._closed = False
        self._unfinished = 0
        self._finished = asyncio.Event()

    def queue(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        max_batch: int,
        observers: Sequence[Observer] = (),
    ) -> "Queue[Item, Result]":
        """Return a queue; `run` turns its batches of at most `max_batch` items into as many results, in order."""
        queue: Queue[Item, Result] = Queue(self, run, max_batch, observers)
        self._queues.append(queue)
        return queue

    def run_in_slot(self, job: Callable[[], None]) -> None:
        """Run a job where batches run, and wait for it; never call it on the event loop."""
        self._threads.submit(job).result()

    @property
    def waiting(self) -> int:
        """Return how many items wait, over all queues."""
        return sum(queue.waiting for queue in self._queues)

    @property
    def is_stalled(self) -> bool:
        """Tell whether a batch has run for so long that it must be lost."""
        earliest = time.monotonic() - STALLED_S
        return any(batch.started < earliest for batch in self._running.values())

    async def close(self) -> None:
        """Refuse new work, wait until all accepted work is finished, and end the threads."""
        self._closed = True
        while self._unfinished:
            self._finished.clear()
            await self._finished.wait()
        await asyncio.to_thread(self._threads.shutdown)

    def _admit(self, count: int) -> None:
        """Count a request of `count` items in; raises NotReady, ContentTooLarge, QueueFull."""
        if self._closed:
            raise NotReady("the service is shutting down")
        if count > self.max_queue:
            raise ContentTooLarge(
                f"the request holds {count} items; at most {self.max_queue} may wait at a time"
            )
        if (waiting := self.waiting) + count > self.max_queue:
            raise QueueFull(f"{waiting} items are waiting, of at most {self.max_queue}")
        self._unfinished += 1
        if self._expiry_timer is None:
            self._expiry_timer = asyncio.get_running_loop().call_later(EXPIRY_CHECK_S, self._drop_expired)

    def _leave(self) -> None:
        """Count a request out."""
        self._unfinished -= 1
        if not self._unfinished:
            self._finished.set()

    def _drop_expired(self) -> None:
        """Answer requests past their deadline, also where no slot becomes free; run again while there is work."""
        now = time.monotonic()
        for queue in self._queues:
            for request in queue._requests:
                request.expire(now)
        for batch in self._running.values():
            for part in batch.slices:
                part.request.expire(now)
        self._expiry_timer = None
        if self._unfinished:
            self._expiry_timer = asyncio.get_running_loop().call_later(EXPIRY_CHECK_S, self._drop_expired)

    def _fill_slots(self) -> None:
        """Start batches as long as a slot is free and something waits."""
        while self._free and (queue := self._oldest()):
            if queue.items_within(self._inline_budget_s):
                self._run_soon()
                return
            if slices := queue._take(self.slots):
                self._start(queue, slices)

    def _run_soon(self) -> None:
        """Run a batch in the next turn of the event loop, together with items that come in this turn."""
        if not self._will_run:
            self._will_run = True
            # An empty context: the batch belongs to many requests.
            asyncio.get_running_loop().call_soon(self.run_inline, context=contextvars.Context())

    def run_inline(self) -> None:
        """Run a batch on the event loop that fits its time budget; else start batches in threads.

        The next one runs at the earliest in the turn after next. So the loop also reads and writes between a batch and
        the requests that its answers bring, and a probe waits for half as long.
        """
        queue = self._oldest() if self._free else None
        if (
            queue
            and (most := queue.items_within(self._inline_budget_s))
            and (slices := queue._take(self.slots, most))
        ):
            self._deliver(
                queue, slices, run_batch(queue._run, [item for part in slices for item in part.items])
            )
            asyncio.get_running_loop().call_soon(self._end_turn, context=contextvars.Context())
        else:
            self._end_turn()

    def _end_turn(self) -> None:
        self._will_run = False
        self._fill_slots()

    def _oldest(self) -> "Queue[Any, Any] | None":
        """Return the queue whose first request has the first priority."""
        waiting = [queue for queue in self._queues if queue._requests]
        return min(waiting, key=lambda queue: queue._requests[0].priority, default=None)

    def next_priority(self) -> float:
        """Return a priority behind all earlier ones."""
        self._latest = math.nextafter(self._latest, math.inf)
        return self._latest

    def _start(self, queue: "Queue[Any, Any]", slices: list[RequestSlice]) -> None:
        """Run a batch in a thread; if none can be started, only the requests of this batch get the error."""
        items = [item for part in slices for item in part.items]
        try:
            future = asyncio.wrap_future(self._threads.submit(run_batch, queue._run, items))
        except RuntimeError as error:
            now = time.monotonic()
            deliver(slices, BatchRun([], error, now, now, []))
            return
        self._free -= 1
        self._running[future] = _Batch(time.monotonic(), queue, slices)
        future.add_done_callback(self._finish)

    def _finish(self, future: asyncio.Future[Any]) -> None:
        """Deliver the results, free the slot, and fill it again."""
        self._free += 1
        batch = self._running.pop(future)
        self._deliver(batch.queue, batch.slices, future.result())

    def _deliver(self, queue: "Queue[Any, Any]", slices: list[RequestSlice], run: BatchRun) -> None:
        items = deliver(slices, run)
        queue.update_throughput(items, run)
        self._fill_slots()
        for observer in queue._observers:
            observer.on_batch(items, run)


class Queue(Generic[Item, Result]):
    """Work of one kind that waits for the shared slots; made by `Batcher.queue`."""

    def __init__(
        self,
        batcher: Batcher,
        run: Callable[[list[Item]], Sequence[Result]],
        max_batch: int,
        observers: Sequence[Observer],
    ) -> None:
        self._batcher = batcher
        self._observers = observers
        self._run = run
        self._max_batch = max_batch
        self._seconds_per_item: float | None = None
        self.waiting = 0
        self._requests: deque[PendingRequest] = deque()
        self._retired = False

    def retire(self) -> None:
        """Have the batcher drop this queue whenever nothing waits in it."""
        self._retired = True
        self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if not self._requests and self in self._batcher._queues:
            self._batcher._queues.remove(self)

    async def submit(self, items: Sequence[Item], deadline: float) -> list[Result]:
        """Wait for the results of `items`, in their order.

        Parameters
        ----------
        items
            Admitted all together or not at all; they may run in several batches.
        deadline
            Time (`time.monotonic()`) after which the answer is not waited for; what still waits is dropped.

        Raises
        ------
        QueueFull, ContentTooLarge, NotReady
            If the items are not admitted.
        DeadlineExceeded
            If the deadline has passed.
        Exception
            The error that `run` raised for a batch that held one of them.
        """
        if not items:
            return []
        self._batcher._admit(len(items))
        if self._retired and self not in self._batcher._queues:
            self._batcher._queues.append(self)
        request = PendingRequest(items, deadline)
        self._batcher._latest = max(self._batcher._latest, deadline)
        self._requests.append(request)
        self.waiting += len(items)
        self._batcher._fill_slots()
        if request.waiting:
            self._report_waiting()
        try:
            return await request.answer
        finally:
            if request.waiting:  # cancelled, expired or failed: the rest of it will not run
                self.waiting -= request.waiting
                self._report_waiting()
            request.waiting, request.items = 0, ()
            self._batcher._leave()
            if self._retired:
                self._forget_if_idle()
            for observer in self._observers:
                observer.on_complete(request.arrived, request.runs)
            del request  # its answer may be an exception, whose traceback has this frame

    def _report_waiting(self) -> None:
        for observer in self._observers:
            observer.on_queue_size(self.waiting)

    def items_within(self, seconds: float) -> int:
        """Return how many items are expected to run in so many seconds; 0 before the first batch."""
        return int(seconds / self._seconds_per_item) if self._seconds_per_item else 0

    def update_throughput(self, items: int, run: BatchRun) -> None:
        """Update the measured time of an item by a batch that was run."""
        if run.error is None:
            seconds = (run.ended - run.started) / items
            self._seconds_per_item = (
                seconds
                if self._seconds_per_item is None
                else self._seconds_per_item + (seconds - self._seconds_per_item) * THROUGHPUT_SMOOTHING
            )

    def _take(self, slots: int, most: int | None = None) -> list[RequestSlice]:
        """Remove the next batch, at most `most` items: one slot's part of what waits, without expired requests."""
        free = min(self._max_batch, -(-self.waiting // slots), most or self._max_batch)
        batch: list[RequestSlice] = []
        now = time.monotonic()
        while self._requests:
            request = self._requests[0]
            request.expire(now)
            if request.answer.done():
                self._requests.popleft()
                continue
            if not free:
                break
            part = request.take(free)
            free -= len(part.items)
            self.waiting -= len(part.items)
            batch.append(part)
            self._requests.popleft()
            if request.waiting:
                request.priority = self._batcher.next_priority()
                self._requests.append(request)
        self._report_waiting()
        if self._retired:
            self._forget_if_idle()
        return batch


class _Batch(NamedTuple):
    """A batch that runs in a slot, and when it started (`time.monotonic()`)."""

    started: float
    queue: Queue[Any, Any]
    slices: list[RequestSlice]
