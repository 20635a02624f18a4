"""The batcher by itself, with real threads: what it promises under load, errors and callers who leave."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ContentTooLarge, DeadlineExceeded, NotReady, QueueFull
from app.inference.batching.batcher import Batcher, Queue

LONG = 60.0


def soon(seconds: float = LONG) -> float:
    return time.monotonic() + seconds


def double(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


class Gate:
    """A `run` that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        assert self.open.wait(LONG)
        return double(items)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition changes in another thread, without an event
        await asyncio.sleep(0.001)


def test_a_batch_grows_while_the_slot_is_busy() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(gate, max_batch=4)
        calls = [asyncio.create_task(queue.submit([number], soon())) for number in range(7)]
        await until(lambda: gate.batches and batcher.waiting == 6)
        gate.open.set()
        assert await asyncio.gather(*calls) == [[2 * number] for number in range(7)]
        assert gate.batches == [[0], [1, 2, 3, 4], [5, 6]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_free_slot_takes_its_share_and_not_everything() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=2, max_queue=100)
        queue = batcher.queue(gate, max_batch=64)
        call = asyncio.create_task(queue.submit(list(range(10)), soon()))
        await until(lambda: len(gate.batches) == 2)
        assert sorted(map(len, gate.batches)) == [3, 5]
        gate.open.set()
        assert await call == double(range(10))
        await batcher.close()

    asyncio.run(scenario())


def test_the_queue_whose_head_is_oldest_goes_first() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        first, second = batcher.queue(gate, max_batch=8), batcher.queue(gate, max_batch=8)
        calls = [
            asyncio.create_task(queue.submit([number], soon()))
            for number, queue in enumerate([first, second, first, second, first])
        ]
        await until(lambda: gate.batches and batcher.waiting == 4)
        gate.open.set()
        await asyncio.gather(*calls)
        assert gate.batches == [[0], [1, 3], [2, 4]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_request_that_comes_to_its_second_queue_goes_before_those_that_came_after_it() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        encoder, decoder = batcher.queue(gate, max_batch=8), batcher.queue(gate, max_batch=8)
        first, later = soon(), soon(2 * LONG)
        calls = [asyncio.create_task(encoder.submit([0], first))]
        await until(lambda: gate.batches)
        calls.append(asyncio.create_task(encoder.submit([1], later)))
        calls.append(asyncio.create_task(decoder.submit([2], first)))
        await until(lambda: batcher.waiting == 2)
        gate.open.set()
        await asyncio.gather(*calls)
        assert gate.batches == [[0], [2], [1]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_request_of_many_items_takes_turns_with_the_others() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(gate, max_batch=3)
        many = asyncio.create_task(queue.submit(list(range(10)), soon()))
        await until(lambda: gate.batches)
        other = asyncio.create_task(batcher.queue(gate, max_batch=3).submit([20], soon()))
        single = asyncio.create_task(queue.submit([30], soon()))
        await until(lambda: batcher.waiting == 9)
        gate.open.set()
        assert [await many, await other, await single] == [double(range(10)), [40], [60]]
        assert gate.batches == [[0, 1, 2], [3, 4, 5], [20], [30, 6, 7], [8, 9]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_request_is_admitted_whole_or_not_at_all() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=5)
        queue = batcher.queue(gate, max_batch=2)
        running = asyncio.create_task(queue.submit([0], soon()))
        waiting = asyncio.create_task(queue.submit([1, 2, 3], soon()))
        await until(lambda: batcher.waiting == 3)
        with pytest.raises(QueueFull, match="3 items are waiting, of at most 5"):
            await queue.submit([4, 5, 6], soon())
        with pytest.raises(ContentTooLarge, match="6 items; at most 5"):
            await queue.submit([0] * 6, soon())
        fits = asyncio.create_task(queue.submit([7, 8], soon()))
        await until(lambda: batcher.waiting == 5)
        gate.open.set()
        assert list(await asyncio.gather(running, waiting, fits)) == [[0], [2, 4, 6], [14, 16]]
        await batcher.close()

    asyncio.run(scenario())


def test_what_waits_past_its_deadline_is_not_computed() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(gate, max_batch=8)
        running = asyncio.create_task(queue.submit([0], soon()))
        late = asyncio.create_task(queue.submit([1], soon(0.01)))
        in_time = asyncio.create_task(queue.submit([2], soon()))
        await until(lambda: batcher.waiting == 2)
        await asyncio.sleep(0.02)
        gate.open.set()
        with pytest.raises(DeadlineExceeded):
            await late
        assert list(await asyncio.gather(running, in_time)) == [[0], [4]]
        assert gate.batches == [[0], [2]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_deadline_holds_where_no_slot_becomes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that hangs: who waits and who is in its batch is answered, and the batcher knows that it is lost."""
    monkeypatch.setattr("app.inference.batching.batcher.STALLED_S", 0.3)

    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(gate, max_batch=1)
        calls = [asyncio.create_task(queue.submit([number], soon(0.1))) for number in range(3)]
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LONG)
        assert [type(end) for end in ends] == [DeadlineExceeded] * 3
        assert batcher.waiting == 0
        await until(lambda: batcher.is_stalled)
        gate.open.set()
        assert await queue.submit([5], soon()) == [10]
        assert not batcher.is_stalled
        assert gate.batches == [[0], [5]]
        await batcher.close()

    asyncio.run(scenario())


def test_where_no_thread_can_be_had_the_batch_fails_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(double, max_batch=8)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await queue.submit([1], soon())
        assert await queue.submit([2], soon()) == [4]
        await batcher.close()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asyncio.run(scenario())


def test_a_caller_who_leaves_frees_the_place_and_is_not_computed() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=2)
        queue = batcher.queue(gate, max_batch=8)
        running = asyncio.create_task(queue.submit([0], soon()))
        leaver = asyncio.create_task(queue.submit([1, 2], soon()))
        await until(lambda: batcher.waiting == 2)
        leaver.cancel()
        await until(leaver.done)
        stayer = asyncio.create_task(queue.submit([3, 4], soon()))
        await until(lambda: batcher.waiting == 2)
        gate.open.set()
        assert list(await asyncio.gather(running, stayer)) == [[0], [6, 8]]
        assert gate.batches == [[0], [3, 4]]
        await batcher.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration(), SystemExit(3), MemoryError()])
def test_an_error_stays_inside_its_batch(error: BaseException) -> None:
    def run(items: list[int]) -> list[int]:
        if 13 in items:
            raise error
        return double(items)

    async def scenario() -> None:
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(run, max_batch=1)
        calls = [asyncio.create_task(queue.submit([number], soon())) for number in (1, 13, 2)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers[0] == [2]
        assert isinstance(answers[1], Exception)
        assert answers[2] == [4]
        assert await queue.submit([5], soon()) == [10]
        await batcher.close()

    asyncio.run(scenario())


def test_a_run_that_loses_items_is_an_error_and_no_wrong_answer() -> None:
    async def scenario() -> None:
        batcher = Batcher(slots=1, max_queue=100)
        queue: Queue[int, int] = batcher.queue(lambda items: items[1:], max_batch=4)
        with pytest.raises(RuntimeError, match="3 items gave 2 results"):
            await queue.submit([1, 2, 3], soon())
        await batcher.close()

    asyncio.run(scenario())


def test_closing_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        gate = Gate()
        batcher = Batcher(slots=1, max_queue=100)
        queue = batcher.queue(gate, max_batch=1)
        calls = [asyncio.create_task(queue.submit([number], soon())) for number in range(3)]
        await until(lambda: batcher.waiting == 2)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotReady):
            await queue.submit([9], soon())
        gate.open.set()
        await closing
        assert await asyncio.gather(*calls) == [[0], [2], [4]]

    asyncio.run(scenario())


def test_an_empty_request_is_answered_at_once() -> None:
    async def scenario() -> None:
        batcher = Batcher(slots=1, max_queue=1)
        assert await batcher.queue(double, max_batch=1).submit([], soon()) == []
        await batcher.close()

    asyncio.run(scenario())


def test_what_takes_a_moment_is_run_on_the_loop_and_no_more_of_it_at_a_time() -> None:
    batches: list[tuple[int, bool]] = []

    def run(items: list[int]) -> list[int]:
        batches.append((len(items), threading.current_thread() is threading.main_thread()))
        time.sleep(0.01 * len(items))
        return double(items)

    async def scenario(slots: int, inline_budget_s: float) -> list[tuple[int, bool]]:
        batcher = Batcher(slots, max_queue=100, inline_budget_s=inline_budget_s)
        queue = batcher.queue(run, max_batch=8)
        batches.clear()
        assert await queue.submit([0], soon()) == [0]  # how long an item takes is not known yet
        calls = [asyncio.create_task(queue.submit([number], soon())) for number in range(1, 7)]
        assert await asyncio.gather(*calls) == [[2 * number] for number in range(1, 7)]
        await batcher.close()
        return list(batches)

    # An item takes a little more than it sleeps, so no four of them fit into 40 ms.
    first, *others = asyncio.run(scenario(1, 0.04))
    assert first == (1, False)
    assert all(on_loop and size <= 3 for size, on_loop in others)
    assert sum(size for size, _ in others) == 6
    assert asyncio.run(scenario(1, 0.01)) == [(1, False), (1, False), (5, False)]
    assert {on_loop for _, on_loop in asyncio.run(scenario(2, 0.04))} == {False}


def test_the_loop_has_a_turn_without_a_batch_between_two_batches_on_it() -> None:
    turn = 0
    batches: list[int] = []

    def run(items: list[int]) -> list[int]:
        batches.append(turn)
        return double(items)

    async def scenario() -> None:
        nonlocal turn
        batcher = Batcher(slots=1, max_queue=100, inline_budget_s=1.0)
        queue = batcher.queue(run, max_batch=8)
        await queue.submit([0], soon())
        batches.clear()
        calls = asyncio.gather(*(queue.submit([number], soon()) for number in range(32)))
        while not calls.done():
            await asyncio.sleep(0)
            turn += 1
        await batcher.close()

    asyncio.run(scenario())
    assert len(batches) == 4
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(batches))


def test_an_error_on_the_loop_stays_inside_its_batch_and_callers_who_leave_are_not_computed() -> None:
    seen: list[list[int]] = []

    def run(items: list[int]) -> list[int]:
        seen.append(items)
        if 13 in items:
            raise ValueError("13")
        return double(items)

    async def scenario() -> None:
        batcher = Batcher(slots=1, max_queue=100, inline_budget_s=1.0)
        queue, other = (batcher.queue(run, max_batch=8) for _ in range(2))
        for each in (queue, other):
            await each.submit([0], soon())
        seen.clear()
        calls = [
            asyncio.create_task(each.submit([item], soon()))
            for each, item in ((queue, 13), (other, 1), (queue, 2))
        ]
        await asyncio.sleep(0)
        calls[2].cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(ends[0], ValueError)
        assert ends[1] == [2]
        assert isinstance(ends[2], asyncio.CancelledError)
        assert seen == [[13], [1]]
        await batcher.close()

    asyncio.run(scenario())


class Asked(NamedTuple):
    """A request of the property test."""

    size: int
    fails: bool
    leaves: float | None  # after so many seconds
    time: float | None  # until its deadline; a long one otherwise
    queue: int
    delay: float  # before it is sent


requests = st.lists(
    st.builds(
        Asked,
        size=st.integers(1, 9),
        fails=st.booleans(),
        leaves=st.one_of(st.none(), st.floats(0, 0.004)),
        time=st.one_of(st.none(), st.floats(0, 0.004)),
        queue=st.integers(0, 2),
        delay=st.floats(0, 0.002),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(
    requests,
    st.integers(1, 3),
    st.integers(1, 7),
    st.sampled_from([0.0, 0.001]),
    st.sampled_from([0.0, 0.002, 1.0]),
)
def test_nothing_is_lost_swapped_or_answered_twice(
    requests: list[Asked], slots: int, max_batch: int, seconds: float, inline_budget_s: float
) -> None:
    """Every request gets its own results in order or its own end, and once; nothing runs twice; then all is empty."""
    seen: list[tuple[int, int]] = []

    def run(items: list[tuple[int, int, bool]]) -> list[tuple[int, int]]:
        assert 1 <= len(items) <= max_batch
        seen.extend((request, index) for request, index, _ in items)
        time.sleep(seconds)
        if any(fails for _, _, fails in items):
            raise ValueError("an item fails")
        return [(request, index) for request, index, _ in items]

    async def scenario() -> None:
        batcher = Batcher(slots=slots, max_queue=10_000, inline_budget_s=inline_budget_s)
        queues = [batcher.queue(run, max_batch) for _ in range(3)]
        answers = [0] * len(requests)

        async def ask(number: int, asked: Asked) -> None:
            await asyncio.sleep(asked.delay)
            items = [(number, index, asked.fails and index == 0) for index in range(asked.size)]
            answer = await queues[asked.queue].submit(items, soon(LONG if asked.time is None else asked.time))
            answers[number] += 1
            assert answer == [(number, index) for index in range(asked.size)]
            assert not asked.fails

        async def cancel(task: asyncio.Task[None], after: float) -> None:
            await asyncio.sleep(after)
            task.cancel()

        tasks = [asyncio.create_task(ask(number, asked)) for number, asked in enumerate(requests)]
        leaving = [
            asyncio.create_task(cancel(task, asked.leaves))
            for task, asked in zip(tasks, requests, strict=True)
            if asked.leaves is not None
        ]
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), LONG)
        await asyncio.gather(*leaving)
        for number, (end, asked) in enumerate(zip(ends, requests, strict=True)):
            assert end is None or answers[number] == 0
            assert not isinstance(end, AssertionError)
            assert end is None or isinstance(end, ValueError | DeadlineExceeded | asyncio.CancelledError)
            assert not isinstance(end, asyncio.CancelledError) or asked.leaves is not None
            assert not isinstance(end, DeadlineExceeded) or asked.time is not None
            assert not isinstance(end, ValueError) or any(each.fails for each in requests)
        await batcher.close()
        assert batcher.waiting == 0
        assert not batcher.is_stalled
        assert len(seen) == len(set(seen))
        for number, asked in enumerate(requests):
            ran = [index for request, index in seen if request == number]
            whole = ends[number] is None
            assert sorted(ran) == list(range(len(ran)))  # from the front on, none left out
            assert not whole or len(ran) == asked.size

    asyncio.run(scenario())
