"""A queue before a few slots: work that waits while the slots are busy leaves together, as a batch.

Slots first, then drain: a batch is put together only when a slot is free to run it, so there is no timer, no added
delay, and batches grow by themselves under load. The slots belong to the device and are shared by all queues; a free
slot serves the queue whose head is oldest and takes its share of that queue, not everything. Age is told by the
deadline: a request that comes to a second queue with the deadline of the first goes before those that came after it.

A request of many items is admitted whole and computed in shares, after each of which it goes behind all that waits:
a request of one item waits for one share of it and not for all.

Where a process has one slot, a batch that takes a moment is run on the event loop, cut to what takes no longer: to hand
it to a thread, and Python's lock there and back, costs more than the loop loses (docs/performance.md).

Knows neither models nor arrays: items go in, results come out. All bookkeeping happens on the event loop's thread, so
there are no locks; nothing but `run` is called in another thread.
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

# Seconds between two looks for requests whose deadline has passed although no slot became free.
EXPIRY_CHECK_S = 0.25

# How much the last batch counts beside those before it, where the next one's time is foretold.
THROUGHPUT_SMOOTHING = 0.2

# A batch that has not come back after so many seconds never will, as far as can be told.
STALLED_S = 30.0


class Observer(Protocol):
    """What hears of a queue's doings. Called on the event loop's thread, it must be quick."""

    def on_queue_size(self, items: int) -> None:
        """So many items wait now."""

    def on_batch(self, items: int, run: BatchRun) -> None:
        """A batch of so many items was run."""

    def on_complete(self, arrived: float, runs: Sequence[BatchRun]) -> None:
        """A request that came at that moment has its answer, from these batches; called in its `submit`'s context."""


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
    moment
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
        self._latest = 0.0  # of the turns that were given to requests
        self._queues: list[Queue[Any, Any]] = []
        self._running: dict[asyncio.Future[Any], _Batch] = {}
        self._look: asyncio.TimerHandle | None = None
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
        """A queue whose batches of at most `max_batch` items `run` turns into as many results, in order."""
        queue: Queue[Item, Result] = Queue(self, run, max_batch, observers)
        self._queues.append(queue)
        return queue

    @property
    def waiting(self) -> int:
        """How many items wait, over all queues."""
        return sum(queue.waiting for queue in self._queues)

    @property
    def is_stalled(self) -> bool:
        """Whether a slot has been on one batch for so long that it must be lost."""
        longest_ago = time.monotonic() - STALLED_S
        return any(batch.started < longest_ago for batch in self._running.values())

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
            raise ContentTooLarge(
                f"the request holds {count} items; at most {self.max_queue} may wait at a time"
            )
        if (waiting := self.waiting) + count > self.max_queue:
            raise QueueFull(f"{waiting} items are waiting, of at most {self.max_queue}")
        self._unfinished += 1
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(EXPIRY_CHECK_S, self._drop_expired)

    def _leave(self) -> None:
        """Count a request out."""
        self._unfinished -= 1
        if not self._unfinished:
            self._finished.set()

    def _drop_expired(self) -> None:
        """Answer requests past their deadline, also where no slot becomes free; look again while there is work."""
        now = time.monotonic()
        for queue in self._queues:
            for request in queue._requests:
                request.is_expired(now)
        for batch in self._running.values():
            for share in batch.shares:
                share.request.is_expired(now)
        again = self._unfinished > 0
        self._look = (
            asyncio.get_running_loop().call_later(EXPIRY_CHECK_S, self._drop_expired) if again else None
        )

    def _fill_slots(self) -> None:
        """Start batches as long as a slot is free and something waits."""
        while self._free and (queue := self._oldest()):
            if queue.items_within(self._inline_budget_s):
                self._run_soon()
                return
            if shares := queue._take(self.slots):
                self._start(queue, shares)

    def _run_soon(self) -> None:
        """Run a batch on the loop in its next turn, when what came in this one waits as well."""
        if not self._will_run:
            self._will_run = True
            # In no request's context: it is a batch of many.
            asyncio.get_running_loop().call_soon(self.run_inline, context=contextvars.Context())

    def run_inline(self) -> None:
        self._will_run = False
        queue = self._oldest() if self._free else None
        if (
            queue
            and (room := queue.items_within(self._inline_budget_s))
            and (shares := queue._take(self.slots, room))
        ):
            self._deliver(
                queue, shares, run_batch(queue._run, [item for share in shares for item in share.items])
            )
        else:
            self._fill_slots()

    def _oldest(self) -> "Queue[Any, Any] | None":
        """The queue whose head has the first turn."""
        waiting = [queue for queue in self._queues if queue._requests]
        return min(waiting, key=lambda queue: queue._requests[0].priority, default=None)

    def next_priority(self) -> float:
        """A turn behind all that were given."""
        self._latest = math.nextafter(self._latest, math.inf)
        return self._latest

    def _start(self, queue: "Queue[Any, Any]", shares: list["RequestSlice"]) -> None:
        """Run a batch in a thread; where none can be had, its callers get that error and no others."""
        items = [item for share in shares for item in share.items]
        try:
            future = asyncio.wrap_future(self._threads.submit(run_batch, queue._run, items))
        except RuntimeError as error:
            now = time.monotonic()
            deliver(shares, BatchRun([], error, now, now, []))
            return
        self._free -= 1
        self._running[future] = _Batch(time.monotonic(), queue, shares)
        future.add_done_callback(self._finish)

    def _finish(self, future: asyncio.Future[Any]) -> None:
        """Hand the results back, free the slot, and fill it again."""
        self._free += 1
        batch = self._running.pop(future)
        self._deliver(batch.queue, batch.shares, future.result())

    def _deliver(self, queue: "Queue[Any, Any]", shares: list["RequestSlice"], run: BatchRun) -> None:
        items = deliver(shares, run)
        queue.update_throughput(items, run)
        self._fill_slots()
        for observer in queue._observers:
            observer.on_batch(items, run)


class Queue(Generic[Item, Result]):
    """Work of one kind on the way to the shared slots; made by `Batcher.queue`."""

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
        self._pace: float | None = None  # seconds an item
        self.waiting = 0
        self._requests: deque[PendingRequest] = deque()
        self._retired = False

    def retire(self) -> None:
        """Let the batcher forget this queue whenever nothing waits in it."""
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
            Moment of `time.monotonic()` after which the answer is not waited for; what still waits is dropped.

        Raises
        ------
        QueueFull, ContentTooLarge, NotReady
            If the items are not admitted.
        DeadlineExceeded
            If the deadline has passed.
        Exception
            Whatever `run` raised for a batch that held one of them.
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
        """How many items are expected to run in so many seconds; 0 while that is not known."""
        return int(seconds / self._pace) if self._pace else 0

    def update_throughput(self, items: int, run: BatchRun) -> None:
        """Take a batch into account that was run."""
        if run.error is None:
            pace = (run.ended - run.started) / items
            self._pace = (
                pace if self._pace is None else self._pace + (pace - self._pace) * THROUGHPUT_SMOOTHING
            )

    def _take(self, slots: int, most: int | None = None) -> list["RequestSlice"]:
        """Remove the next batch: one slot's share of what waits here in turn, at most so much, without the dead."""
        room = min(self._max_batch, -(-self.waiting // slots), most or self._max_batch)
        batch: list[RequestSlice] = []
        now = time.monotonic()
        while self._requests:
            request = self._requests[0]
            if request.is_expired(now):
                self._requests.popleft()
                continue
            if not room:
                break
            share = request.take(room)
            room -= len(share.items)
            self.waiting -= len(share.items)
            batch.append(share)
            self._requests.popleft()
            if request.waiting:
                request.priority = self._batcher.next_priority()
                self._requests.append(request)
        self._report_waiting()
        if self._retired:
            self._forget_if_idle()
        return batch


class _Batch(NamedTuple):
    """What runs in a slot, and since when (`time.monotonic()`)."""

    started: float
    queue: Queue[Any, Any]
    shares: list[RequestSlice]
