"""Who comes in, who waits in line, and who is refused."""

import asyncio
import contextlib
import gc
import time
import weakref
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import ContentTooLarge, QueueFull
from app.inference.batching import admission
from app.inference.batching.admission import MAX_ITEM_WEIGHT, MIN_WORKING_ITEMS, Admission, Permit


class Clients:
    """Requests that come and, once admitted, stay until they are told to go."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.inside: list[int] = []
        self.refused: list[tuple[int, QueueFull]] = []
        self._ends: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, number: int, items: int | None = 1) -> None:
        self._ends[number] = asyncio.Event()
        self._tasks[number] = asyncio.create_task(self._visit(number, items))
        await settle()

    async def _visit(self, number: int, items: int | None) -> None:
        try:
            async with Permit(self._admission, items, 0.0):
                self.inside.append(number)
                await self._ends[number].wait()
                self.inside.remove(number)
        except QueueFull as refusal:
            self.refused.append((number, refusal))

    async def go(self, number: int) -> None:
        self._ends[number].set()
        await settle()

    async def leave(self, number: int) -> None:
        """Break the connection, whatever the request does."""
        if number in self.inside:
            self.inside.remove(number)
        self._tasks[number].cancel()
        await settle()

    async def end(self) -> None:
        """Have all go, and see that nothing is left."""
        for each in self._ends.values():
            each.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        assert self._admission.is_idle
        assert all(waiting.decision.done() for waiting in self._admission._queue)


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


class Heard:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_queue_size(self, items: int) -> None:
        self.sizes.append(items)


def test_those_in_line_come_in_by_turn_as_others_go() -> None:
    async def scenario() -> None:
        heard = Heard()
        clients = Clients(Admission(MIN_WORKING_ITEMS, 1000, 5.0, [heard]))  # type: ignore[list-item]
        count = MIN_WORKING_ITEMS
        for number in range(count + 3):
            await clients.come(number)
        assert clients.inside == list(range(count))
        assert heard.sizes == [1, 2, 3]
        await clients.go(5)
        assert clients.inside[-1] == count
        await clients.come(count + 3)
        await clients.go(6)
        await clients.go(7)
        assert clients.inside[-2:] == [count + 1, count + 2]
        assert heard.sizes[-1] == 1
        await clients.end()
        assert not clients.refused

    run(scenario)


def test_a_request_is_refused_when_it_has_waited_too_long_and_not_sooner() -> None:
    async def scenario() -> None:
        clients = Clients(Admission(MIN_WORKING_ITEMS, 10_000, 0.3))
        for number in range(MIN_WORKING_ITEMS + 200):
            await clients.come(number)
        started = time.monotonic()
        await asyncio.sleep(0.1)
        await clients.come(9000)
        assert not clients.refused
        while len(clients.refused) < 200:  # noqa: ASYNC110  # once a refusal
            await asyncio.sleep(0.01)
        assert 0.15 < time.monotonic() - started < 2
        await asyncio.sleep(0.02)
        assert [number for number, _ in clients.refused[:3]] == [48, 49, 50]
        while len(clients.refused) < 201:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert time.monotonic() - started > 0.35
        number, refusal = clients.refused[-1]
        assert number == 9000
        assert "no place within 0.3 s" in refusal.detail
        assert refusal.headers == {"Retry-After": "1"}
        await clients.end()

    run(scenario)


def test_a_refusal_says_when_all_in_line_now_will_be_gone() -> None:
    async def scenario() -> None:
        clients = Clients(Admission(64, 50, 2.0))
        await clients.come(0, 50)
        await clients.come(1)
        assert clients.refused[0][1].headers == {"Retry-After": "2"}
        assert "50 items are waiting or in work, of at most 50" in clients.refused[0][1].detail
        await clients.end()

    run(scenario)


def test_more_items_than_the_limit_are_too_large() -> None:
    async def scenario() -> None:
        with pytest.raises(ContentTooLarge, match="at most 10"):
            async with Permit(Admission(10, 10, 1), 11, 0.0):
                pass

    run(scenario)


def test_a_large_request_counts_as_a_share_of_it() -> None:
    async def scenario() -> None:
        clients = Clients(Admission(64, 10_000, 5.0))
        for number in range(64 // MAX_ITEM_WEIGHT + 1):
            await clients.come(number, 1000)
        assert clients.inside == list(range(64 // MAX_ITEM_WEIGHT))
        await clients.end()

    run(scenario)


def test_a_request_of_unknown_size_waits_as_one_and_works_as_many() -> None:
    """A page of digits: many may wait, and few are in work, or their crops would fill the queue of the graphs."""

    async def scenario() -> None:
        clients = Clients(Admission(MIN_WORKING_ITEMS, 40, 60))
        for number in range(40):
            await clients.come(number, None)
        assert clients.inside == list(range(MIN_WORKING_ITEMS // MAX_ITEM_WEIGHT))
        assert clients.refused == []
        await clients.end()

    run(scenario)


def test_an_idle_service_takes_a_request_of_any_size() -> None:
    async def scenario() -> None:
        clients = Clients(Admission(1, 10_000, 5.0))
        await clients.come(0, 1000)
        assert clients.inside == [0]
        await clients.end()

    run(scenario)


def test_beside_a_slow_request_few_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large photographs would otherwise fill the work for many seconds."""
    monkeypatch.setattr(admission, "SLOW_S", 0.05)

    async def scenario() -> None:
        clients = Clients(Admission(1000, 10_000, 5.0))
        await clients.come(0)
        await asyncio.sleep(0.1)
        for number in range(1, 100):
            await clients.come(number)
        assert len(clients.inside) == MIN_WORKING_ITEMS
        await clients.go(0)
        assert len(clients.inside) == 99
        await clients.end()

    run(scenario)


def test_a_client_that_leaves_gives_its_place_in_line_or_in_work_back() -> None:
    async def scenario() -> None:
        clients = Clients(Admission(MIN_WORKING_ITEMS, 1000, 5.0))
        for number in range(MIN_WORKING_ITEMS + 3):
            await clients.come(number)
        await clients.leave(MIN_WORKING_ITEMS)  # first in line
        await clients.leave(0)  # in work
        assert clients.inside[-1] == MIN_WORKING_ITEMS + 1
        clients._ends[1].set()
        await asyncio.sleep(0)  # 1 goes, and the next is let in: it leaves before it knows
        await asyncio.sleep(0)
        await clients.leave(MIN_WORKING_ITEMS + 2)
        await clients.end()

    run(scenario)


def test_a_refusal_keeps_nothing_of_its_request() -> None:
    """A cycle of exception, traceback and frame would keep a body until the next collection."""

    class Body:
        pass

    async def scenario() -> None:
        admission = Admission(MIN_WORKING_ITEMS, 10_000, 0.05)
        kept: list[weakref.ref[Body]] = []

        async def visit() -> None:
            body = Body()
            kept.append(weakref.ref(body))
            async with Permit(admission, 1, 0.0):
                await asyncio.sleep(10)

        async with contextlib.AsyncExitStack() as stack:
            for _ in range(MIN_WORKING_ITEMS):
                await stack.enter_async_context(Permit(admission, 1, 0.0))
            with pytest.raises(QueueFull):
                await visit()
        assert kept[0]() is None

    gc.collect()
    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["come", "go", "leave"]), st.integers(1, 40)), max_size=50))
def test_whatever_comes_and_goes_the_bounds_hold_and_all_is_given_back(steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        admission = Admission(64, 200, 30.0)
        clients = Clients(admission)
        present: list[int] = []
        for number, (step, value) in enumerate(steps):
            if step == "come":
                await clients.come(number, value)
                if not any(refused == number for refused, _ in clients.refused):
                    present.append(number)
            elif step == "go" and clients.inside:
                chosen = clients.inside[value % len(clients.inside)]
                present.remove(chosen)
                await clients.go(chosen)
            elif step == "leave" and present:
                await clients.leave(present.pop(value % len(present)))
            assert admission._held <= 200
            assert admission._working <= 64
            assert clients.inside == sorted(clients.inside)  # by turn
            assert len(clients.inside) == len(admission._entered)
        await clients.end()

    run(scenario)
