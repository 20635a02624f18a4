"""What Prometheus reads: true, in its conventions, and no more of it than there are routes."""

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.observability import metrics as app_metrics
from app.observability.metrics import REASONS, RENDER_INTERVAL_S, RENDERS_AT_ONCE, Metrics
from tests.app.server_process import Server, serving, wait_until

Labels = frozenset[tuple[str, str]]


def numbers(client: httpx.Client) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of the samples with these labels, and with any others."""
    wanted = labels.items()
    return sum(number for (found, at), number in numbers(client).items() if found == name and wanted <= at)


def labels_of(client: httpx.Client, label: str) -> set[str]:
    return {dict(at)[label] for _, at in numbers(client) if label in dict(at)}


def test_a_request_is_counted_by_its_route_and_status(client: httpx.Client, seven: bytes) -> None:
    asked = {"method": "POST", "route": "/classify", "status": "200"}
    before = value(client, "capsnet_http_requests_total", **asked)
    for _ in range(3):
        client.post("/classify?top_k=2", files={"file": seven})
    client.post("/classify?top_k=0", files={"file": seven})
    wait_until(lambda: value(client, "capsnet_http_requests_total", **asked) == before + 3)
    assert value(client, "capsnet_http_requests_total", route="/classify", status="422") >= 1
    seconds = value(client, "capsnet_http_request_duration_seconds_sum", route="/classify")
    assert 0 < seconds < value(client, "capsnet_http_request_duration_seconds_count", route="/classify") * 30
    assert value(client, "capsnet_http_requests_in_flight") >= 1


def test_a_queue_writes_its_size_once_in_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load every request changes it several times."""
    written: list[float] = []
    monkeypatch.setattr(Gauge, "set", lambda self, number: written.append(number))

    async def scenario() -> None:
        queue = Metrics().queue("mnist", "classify")
        for items in (1, 2, 3, 7):
            queue.on_queue_size(items)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert written == [0, 7]  # no request is in flight


def test_the_queues_tell_how_long_was_waited_and_run(client: httpx.Client, seven: bytes) -> None:
    def state() -> dict[str, float]:
        queues = {
            f"{stage} {name}": value(client, f"capsnet_{name}", model="mnist", stage=stage)
            for stage in ("classify", "decode")
            for name in ("batch_items_sum", "batch_items_count", "queue_wait_seconds_count")
        }
        graphs = {
            name: value(client, f"capsnet_{name}_duration_seconds_count", model="mnist")
            for name in ("encode", "decode")
        }
        return queues | graphs

    before = state()
    client.post("/classify", files={"file": seven})
    client.post("/decode", json={"label": "7", "poses": [[0.0] * 16] * 100})
    grown = {name: number - before[name] for name, number in state().items()}
    runs = grown.pop("decode batch_items_count")
    assert 2 <= runs <= 100  # 64 poses at most run together
    assert grown == {
        "classify batch_items_sum": 1,
        "classify batch_items_count": 1,
        "classify queue_wait_seconds_count": 1,
        "decode batch_items_sum": 100,
        "decode queue_wait_seconds_count": 1,
        "encode": 1,
        "decode": runs + 1,  # the guard's
    }
    assert value(client, "capsnet_queue_items") == 0
    assert value(client, "capsnet_batch_failures_total") == 0


def test_unknown_paths_and_methods_make_no_series(client: httpx.Client) -> None:
    client.get("/models/mnist")
    client.get("/nothing")
    client.request("PUT", "/docs/assets/nothing.js")
    client.request("PROPFIND", "/models")
    wait_until(lambda: "other" in labels_of(client, "method"))
    before = len(numbers(client))
    for n in range(20):
        client.get(f"/models/{n}")
        client.get(f"/nothing/{n}")
        client.get(f"/docs/assets/{n}")
        client.request("LOCK", f"/{n}")
    assert {"/models/{name}", "unmatched", "/docs/assets"} <= labels_of(client, "route")
    assert labels_of(client, "method") <= app_metrics.METHODS | {"other"}
    # Statuses that a route had not had yet, and no more.
    assert len(numbers(client)) - before <= 5 * (len(app_metrics.REQUEST_BUCKETS_S) + 4)


def test_models_build_and_process_are_told(client: httpx.Client) -> None:
    assert value(client, "capsnet_model_info") == 2
    assert (
        value(client, "capsnet_model_info", model="pair", provider="CPUExecutionProvider", precision="fp32")
        == 1
    )
    assert value(client, "capsnet_build_info") == 1
    assert 20e6 < value(client, "process_resident_memory_bytes") < 2e9
    assert value(client, "process_cpu_seconds_total") > 0


def test_refusals_are_counted_by_reason(tiny_models: Path, tmp_path: Path, seven: bytes) -> None:
    settings = {
        "models": tiny_models,
        "api_keys": "the-key",
        "rate_limit": "3/hour",
        "max_upload": "2kB",
        "log_level": "warning",
    }
    with serving(tmp_path / "log", **settings) as running:
        client = running.client
        assert labels_of(client, "reason") == set(REASONS.values())
        assert value(client, "capsnet_http_rejections_total") == 0
        assert client.post("/classify", files={"file": seven}).status_code == 401
        key = {"X-API-Key": "the-key"}
        statuses = [
            client.post(
                "/classify", content=b"x" * 4000, headers=key | {"Content-Type": "image/png"}
            ).status_code
            for _ in range(4)
        ]
        assert statuses == [413, 413, 413, 429]
        counted = {
            reason: value(client, "capsnet_http_rejections_total", reason=reason)
            for reason in REASONS.values()
        }
        assert counted == dict.fromkeys(REASONS.values(), 0) | {
            "unauthorized": 1,
            "too_large": 3,
            "rate_limit": 1,
        }
        # Refused before a route was sought, it counts for the route that it asked for.
        assert value(client, "capsnet_http_requests_total", route="/classify", status="401") == 1
        assert value(client, "capsnet_http_requests_total", route="/classify", status="429") == 1
        # What was refused at once has no place among the durations.
        assert value(client, "capsnet_http_request_duration_seconds_count", route="/classify") == 3
    assert (tmp_path / "log").read_text() == ""  # at the level `warning`, requests are not logged


def test_openmetrics_is_given_to_clients_that_ask_for_it(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    assert {"capsnet_http_requests", "capsnet_model_info"} <= names
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus")
def test_prometheus_own_checker_finds_no_fault(client: httpx.Client) -> None:
    text = client.get("/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def ask(server: Server, times: int) -> None:
    for _ in range(times):
        assert server.client.get("/models").status_code == 200


def test_processes_that_share_a_folder_answer_for_one_another(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv(app_metrics.FOLDER_VARIABLE, str(folder))
    with (
        serving(tmp_path / "first.log", models=tiny_models) as first,
        serving(tmp_path / "second.log", models=tiny_models) as second,
    ):
        pids = {str(first.process.pid), str(second.process.pid)}
        asked = {"route": "/models", "status": "200"}
        ask(first, 3)
        ask(second, 4)
        for server in (first, second):
            wait_until(lambda each=server: value(each.client, "capsnet_http_requests_total", **asked) == 7)  # type: ignore[misc]
            assert value(server.client, "capsnet_model_info") == 2
            assert labels_of(server.client, "pid") == pids
        gauges = value(second.client, "capsnet_http_requests_in_flight")
        first.process.kill()
        first.process.wait()
        app_metrics.remove_worker(first.process.pid)
        assert labels_of(second.client, "pid") == {str(second.process.pid)}
        assert value(second.client, "capsnet_http_requests_in_flight") <= gauges
        assert value(second.client, "capsnet_http_requests_total", **asked) == 7
        assert not list(folder.glob(f"gauge_live*_{first.process.pid}.db"))


def test_who_asks_very_often_is_told_the_same_again(tiny_models: Path, tmp_path: Path) -> None:
    """Any client may read the metrics, and to collect them takes as long as many images."""
    pattern = re.compile(r'capsnet_http_requests_total\{method="GET",route="/metrics",status="200"\} (\S+)')
    with serving(tmp_path / "log", models=tiny_models) as running:
        started = time.monotonic()
        answers = [running.client.get("/metrics").text for _ in range(100)]
        seconds = time.monotonic() - started
        told = {found[1] for text in answers if (found := pattern.search(text))}
        assert len(told) <= RENDERS_AT_ONCE + seconds / RENDER_INTERVAL_S + 1
        time.sleep(1.1 * RENDER_INTERVAL_S)
        (found,) = pattern.findall(running.client.get("/metrics").text)
        assert float(found) == 100
