"""Rates: how they are written, and buckets that hold what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.rate_limit import RateLimiter
from app.settings import SECONDS, Rate


@given(
    count=st.integers(1, 999_999_999), unit=st.sampled_from(sorted(SECONDS)), gap=st.sampled_from(["", " "])
)
def test_a_rate_is_read_as_it_is_written(count: int, unit: str, gap: str) -> None:
    rate = Rate(count, SECONDS[unit])
    assert Rate.parse(f"{count}{gap}/{gap}{unit}") == Rate.parse(f" {count}/{unit.upper()} ") == rate


@given(st.text().filter(lambda text: "/" not in text))
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="such as 100/minute"):
        Rate.parse(text)


@pytest.mark.parametrize(
    "text", ["", "100", "0/second", "-1/second", "1.5/second", "10/fortnight", "1/2/second", "٣/second"]
)
def test_what_is_nearly_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be a number"):
        Rate.parse(text)


@given(
    rate=st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 60, 3600])),
    pauses=st.lists(st.floats(0, 100), min_size=1, max_size=60),
)
def test_a_bucket_is_one_that_fills_evenly(rate: Rate, pauses: list[float]) -> None:
    """Against a plain count of tokens, which is the other way to think of the same."""
    now = 0.0
    buckets = RateLimiter(rate, clock=lambda: now)
    tokens, speed = float(rate.count), rate.count / rate.seconds
    for pause in pauses:
        now += pause
        tokens = min(rate.count, tokens + pause * speed)
        allowance = buckets.acquire("x")
        if abs(tokens - round(tokens)) > 1e-4:  # else rounding decides
            assert allowance.granted == (tokens >= 1)
            assert allowance.remaining == int(tokens - allowance.granted)
        tokens -= allowance.granted
        assert 0 <= allowance.remaining < rate.count
        assert allowance.reset == pytest.approx((rate.count - tokens) / speed, abs=1.01)
        assert (allowance.retry == 0) == allowance.granted


def test_whoever_waits_as_told_is_let_in() -> None:
    now = 0.0
    buckets = RateLimiter(Rate(7, 60), clock=lambda: now)
    for _ in range(7):
        assert buckets.acquire("x").granted
    for _ in range(100):
        refused = buckets.acquire("x")
        assert not refused.granted
        now += refused.retry
        assert buckets.acquire("x").granted


def test_clients_do_not_take_from_one_another() -> None:
    buckets = RateLimiter(Rate(1, 3600))
    assert [buckets.acquire(client).granted for client in "aabbc"] == [True, False, True, False, True]


def test_however_many_clients_there_are_no_more_are_remembered_and_never_the_last() -> None:
    buckets = RateLimiter(Rate(1, 3600), most=100)
    for client in range(10_000):
        assert buckets.acquire(client).granted
        assert not buckets.acquire(client).granted
        assert len(buckets) <= 100
