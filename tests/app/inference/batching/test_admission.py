"""Who comes in: by items, and by the wait that they would have."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ContentTooLarge, QueueFull
from app.inference.batching import admission
from app.inference.batching.admission import (
    MAX_ITEM_WEIGHT,
    MIN_ADMITTED_ITEMS,
    Admission,
)


class Clock:
    """Stands still but for what a test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(admission, "time", made)
    return made


class Crowd:
    """Requests that were let in; the first to come is the first to be answered."""

    def __init__(self, door: Admission, clock: Clock) -> None:
        self._door, self._clock = door, clock
        self._inside: list[contextlib.ExitStack] = []

    def come(self, items: int = 1) -> bool:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._door.admitted(items))
            except QueueFull:
                return False
            self._inside.append(stack.pop_all())
        return True

    def come_together(self, requests: int) -> None:
        for _ in range(requests):
            assert self.come()

    def fill(self) -> int:
        """Come until one is refused, or the bound on items would be far away: how many there are."""
        while len(self._inside) < 5000 and self.come():
            pass
        return len(self._inside)

    def answer(self, seconds: float) -> None:
        self._clock.now += seconds
        self._inside.pop(0).close()

    def leave(self) -> None:
        while self._inside:
            self.answer(0.001)


def serve(crowd: Crowd, rate: float, seconds: float) -> int:
    """Answer at a rate while as many come as are let in: how many are inside at the end."""
    inside = crowd.fill()
    for _ in range(round(rate * seconds)):
        crowd.answer(1 / rate)
        inside = crowd.fill()
    return inside


def test_before_the_pace_is_known_only_items_are_counted(clock: Clock) -> None:
    crowd = Crowd(Admission(max_items=1000, max_wait=0.1), clock)
    assert crowd.fill() == 1000


def test_under_load_so_many_are_let_in_as_are_answered_within_the_wait(clock: Clock) -> None:
    crowd = Crowd(Admission(max_items=10_000, max_wait=0.5), clock)
    crowd.come_together(300)
    assert serve(crowd, rate=1000, seconds=20) == pytest.approx(500, abs=5)
    assert serve(crowd, rate=2000, seconds=20) == pytest.approx(1000, abs=10)


def test_a_service_that_was_slow_is_found_to_be_quick_again(clock: Clock) -> None:
    crowd = Crowd(Admission(max_items=10_000, max_wait=0.1), clock)
    assert serve(crowd, rate=50, seconds=200) == MIN_ADMITTED_ITEMS
    assert serve(crowd, rate=5000, seconds=5) == pytest.approx(500, abs=5)


def test_slow_clients_do_not_make_the_service_slow(clock: Clock) -> None:
    door = Admission(max_items=10_000, max_wait=0.1)
    crowd = Crowd(door, clock)
    for _ in range(100):
        assert crowd.come()
        crowd.answer(1.0)
    assert crowd.fill() == 5000


def test_the_hours_before_a_crowd_came_do_not_make_the_service_slow(clock: Clock) -> None:
    crowd = Crowd(Admission(max_items=10_000, max_wait=0.5), clock)
    crowd.come_together(300)
    crowd.answer(0.001)
    assert crowd.come()
    for _ in range(300):
        crowd.answer(0.001)
    clock.now += 3600
    crowd.come_together(300)
    crowd.answer(0.001)
    assert crowd.come()


def test_a_large_request_counts_as_a_share_of_it(clock: Clock) -> None:
    crowd = Crowd(Admission(max_items=10_000, max_wait=0.03), clock)
    serve(crowd, rate=1000, seconds=5)
    crowd.leave()
    assert [crowd.come(1000) for _ in range(MIN_ADMITTED_ITEMS // MAX_ITEM_WEIGHT + 1)] == [True] * (
        MIN_ADMITTED_ITEMS // MAX_ITEM_WEIGHT
    ) + [False]


def test_more_items_than_there_is_room_for_at_all_are_too_large(clock: Clock) -> None:
    with pytest.raises(ContentTooLarge, match="at most 10"), Admission(10, 1).admitted(11):
        pass


def test_a_refusal_says_why(clock: Clock) -> None:
    door = Admission(max_items=10_000, max_wait=0.1)
    crowd = Crowd(door, clock)
    serve(crowd, rate=1000, seconds=5)
    check = door.check()
    assert check is not None
    assert f"are answered a second; a request may wait for {0.1:g} s" in check.detail
    assert check.headers == {"Retry-After": "1"}
    assert Admission(5, 0.1).check(arrived=100) is None  # the pace is not known


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_the_bound_holds_and_all_is_given_back(steps: list[tuple[int, bool]]) -> None:
    door = Admission(max_items=64, max_wait=0.1)
    inside: list[tuple[int, contextlib.ExitStack]] = []

    @contextlib.contextmanager
    def come(items: int) -> Iterator[None]:
        with door.admitted(items):
            yield

    for items, goes in steps:
        held = sum(each for each, _ in inside)
        if goes and inside:
            inside.pop(0)[1].close()
        elif held + items <= 64:
            stack = contextlib.ExitStack()
            stack.enter_context(come(items))
            inside.append((items, stack))
        else:
            with pytest.raises(QueueFull, match=str(held)), come(items):
                pass
    for _, stack in inside:
        stack.close()
    with door.admitted(64):
        assert door.check() is not None
    assert door.check() is None
