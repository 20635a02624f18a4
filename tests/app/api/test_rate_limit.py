"""Rates: how they are written, and buckets that hold what they say."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.rate_limit import MemoryBuckets, RateLimiter
from app.api.shared_buckets import SharedBuckets
from app.settings import SECONDS, Rate
from tests.app.server_process import PLAIN, Server, count_ready, free_port, run_app, serving, wait_until

needs_workers = pytest.mark.skipif(PLAIN or sys.platform != "linux", reason="needs the workers of app/server")


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
        allowance = buckets.take(b"x")
        if abs(tokens - round(tokens)) > 1e-4:  # else rounding decides
            assert allowance.granted == (tokens >= 1)
            assert allowance.remaining == int(tokens - allowance.granted)
        tokens -= allowance.granted
        assert 0 <= allowance.remaining < rate.count
        assert allowance.reset == pytest.approx((rate.count - tokens) / speed, abs=1.01)
        assert (allowance.retry == 0) == allowance.granted


def test_a_client_that_waits_as_told_is_admitted() -> None:
    now = 0.0
    buckets = RateLimiter(Rate(7, 60), clock=lambda: now)
    for _ in range(7):
        assert buckets.take(b"x").granted
    for _ in range(100):
        refused = buckets.take(b"x")
        assert not refused.granted
        now += refused.retry
        assert buckets.take(b"x").granted


def test_clients_do_not_take_from_one_another() -> None:
    buckets = RateLimiter(Rate(1, 3600))
    asked = [buckets.take(client.encode()).granted for client in "aabbc"]
    assert asked == [True, False, True, False, True]


def test_however_many_clients_there_are_no_more_are_remembered_and_never_the_last() -> None:
    buckets = MemoryBuckets(100)
    limiter = RateLimiter(Rate(1, 3600), buckets)
    for client in range(10_000):
        assert limiter.take(b"%d" % client).granted
        assert not limiter.take(b"%d" % client).granted
        assert len(buckets) <= 100


@given(pauses=st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_shared_buckets_give_the_answers_of_those_in_one_process(pauses: list[float]) -> None:
    now = 0.0
    with tempfile.TemporaryDirectory() as folder:
        limiters = [RateLimiter(Rate(3, 60), SharedBuckets(Path(folder)), lambda: now) for _ in range(2)]
        alone = RateLimiter(Rate(3, 60), clock=lambda: now)
        for turn, pause in enumerate(pauses):
            now += pause
            assert limiters[turn % 2].take(b"x") == alone.take(b"x")


def test_shared_buckets_remember_many_clients_and_always_the_last(tmp_path: Path) -> None:
    limiter = RateLimiter(Rate(1, 3600), SharedBuckets(tmp_path))
    for client in range(20_000):
        assert limiter.take(b"%d" % client).granted
        assert not limiter.take(b"%d" % client).granted
    again = [limiter.take(b"%d" % client).granted for client in range(20_000)]
    assert sum(again) < 200  # a set of eight is full here and there


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves space")
def test_the_space_of_shared_buckets_is_reserved(tmp_path: Path) -> None:
    """A disk that is full later would kill the process that writes to it."""
    SharedBuckets(tmp_path)
    (file,) = tmp_path.iterdir()
    assert 512 * file.stat().st_blocks >= file.stat().st_size


def test_what_was_written_before_the_machine_started_again_is_void(tmp_path: Path) -> None:
    before = RateLimiter(Rate(1, 60), SharedBuckets(tmp_path), clock=lambda: 1e6)
    assert before.take(b"x").granted
    after = RateLimiter(Rate(1, 60), SharedBuckets(tmp_path), clock=lambda: 5.0)
    assert after.take(b"x").granted
    assert not after.take(b"x").granted


def take_many(folder: str, times: int) -> int:
    limiter = RateLimiter(Rate(700, 86_400), SharedBuckets(Path(folder)))
    return sum(limiter.take(b"x").granted for _ in range(times))


def test_no_request_is_lost_or_counted_twice_between_processes(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        granted = list(processes.map(take_many, [str(tmp_path)] * 3, [400] * 3))
    assert sum(granted) == 700


LIMIT = 20


def granted_over_two_workers(log: Path, models: Path, **settings: object) -> list[httpx.Response]:
    """Answers to more requests than the limit, over eight connections that two workers share."""
    with (
        serving(log, models=models, workers=2, rate_limit=f"{LIMIT}/hour", **settings) as server,
        contextlib.ExitStack() as stack,
    ):
        wait_until(lambda: count_ready(server) == 2, 90)
        clients = [stack.enter_context(httpx.Client(base_url=server.url, timeout=30)) for _ in range(8)]
        answers = [client.get("/models/mnist") for _ in range(5) for client in clients]
        counted = [answer for answer in answers if answer.status_code == 200]
        assert len(workers_of(server)) == 2
    assert {answer.status_code for answer in answers} == {200, 429}
    remaining = [int(answer.headers["ratelimit-remaining"]) for answer in counted]
    assert remaining == list(range(LIMIT - 1, -1, -1))
    return answers


def workers_of(server: Server) -> list[str]:
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


@needs_workers
def test_a_rate_holds_over_two_workers(tmp_path: Path, tiny_models: Path) -> None:
    answers = granted_over_two_workers(tmp_path / "log", tiny_models)
    assert sum(answer.status_code == 200 for answer in answers) == LIMIT


class Redis(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"redis://:word@127.0.0.1:{self.port}/0"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A real Redis that asks for a password."""
    if not shutil.which("redis-server"):
        pytest.skip("needs Debian's package redis-server")
    port = free_port()
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "word",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: accepts(port))
        yield Redis(process, port)
        process.kill()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@needs_workers
def test_a_rate_holds_over_two_services_that_name_one_redis(
    redis: Redis, tmp_path: Path, tiny_models: Path
) -> None:
    answers = granted_over_two_workers(tmp_path / "log", tiny_models, rate_limit_url=redis.url)
    assert sum(answer.status_code == 200 for answer in answers) == LIMIT
    # Another service, as on another machine, goes on counting where the first one stopped.
    other = {"rate_limit": f"{LIMIT}/hour", "rate_limit_url": redis.url}
    with serving(tmp_path / "other.log", models=tiny_models, **other) as server:
        refused = server.client.get("/models")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1


@needs_workers
def test_a_service_whose_redis_is_gone_counts_by_itself(
    redis: Redis, tmp_path: Path, tiny_models: Path
) -> None:
    settings = {"rate_limit": "3/hour", "rate_limit_url": redis.url}
    with serving(tmp_path / "log", models=tiny_models, **settings) as server:
        assert server.client.get("/models").headers["ratelimit-remaining"] == "2"
        redis.process.kill()
        redis.process.wait()
        statuses = [server.client.get("/models").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        log = server.log.read_text()
    assert log.count("Redis does not answer") == 1
    assert "word" not in log


def test_a_url_without_a_rate_is_refused() -> None:
    tried = run_app(rate_limit_url="redis://127.0.0.1:1/0")
    assert tried.returncode == 1
    assert "CAPSNET_RATE_LIMIT_URL counts for CAPSNET_RATE_LIMIT, which is not set" in tried.stderr


@pytest.mark.parametrize("package", ["limits", "redis"])
def test_a_missing_package_is_named(
    tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('it is not installed here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    tried = run_app(
        models=tiny_models, rate_limit="1/hour", rate_limit_url="redis://127.0.0.1:1/0", port=free_port()
    )
    assert tried.returncode == 1
    assert tried.stderr.splitlines()[-1].endswith("needs two more packages: pip install limits redis")


def test_a_url_that_is_none_is_refused_without_being_repeated() -> None:
    tried = run_app(rate_limit="1/hour", rate_limit_url="memcached://:secret@host")
    assert tried.returncode == 1
    assert "CAPSNET_RATE_LIMIT_URL: should begin with redis:// or rediss://" in tried.stderr
    assert "secret" not in tried.stderr
