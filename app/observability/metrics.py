"""Metrics for Prometheus. The service and its queues do not know them: they call observers that are made here.

Where PROMETHEUS_MULTIPROC_DIR names a folder before this module is imported, the processes that share the folder count
together: each writes its numbers to files there, and each can answer for all of them.
"""

import asyncio
import os
import time
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from ..errors import SharedFolderError
from ..inference.batching.requests import BatchRun
from .metric_files import ReservedDict

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# Why requests are refused, by the kinds of problems.
REASONS = {
    "queue-full": "queue_full",
    "deadline-exceeded": "deadline",
    "too-many-requests": "rate_limit",
    "too-large": "too_large",
    "unauthorized": "unauthorized",
    "not-ready": "not_ready",
}

# These problems are answered at once. Their durations would make an overloaded service look fast.
UNTIMED = frozenset({"queue-full", "too-many-requests", "unauthorized", "not-ready"})

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

# Seconds of a request, of waiting, and of one run of a graph.
REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RUN_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

# So many requests for metrics may be rendered at once, and later one in each interval (a token bucket).
RENDERS_AT_ONCE = 30.0
RENDER_INTERVAL_S = 0.5

# A system call for each number would take longer than writing it.
_pid = cache(os.getpid)

if os.environ.get(FOLDER_VARIABLE):
    os.register_at_fork(after_in_child=_pid.cache_clear)
    values.MmapedDict = ReservedDict  # type: ignore[attr-defined]
    values.ValueClass = values.MultiProcessValue(_pid)  # type: ignore[no-untyped-call]

# A creation time for each series would double their number, and a restart tells the same.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


# Gives the labels of a metric that is always 1, at least one row of them.
Rows = Callable[[], Sequence[Mapping[str, str]]]


class Metrics:
    """The numbers of one process.

    Raises
    ------
    SharedFolderError
        If there is no space for the files through which processes count together, or no folder.
    """

    def __init__(self) -> None:
        try:
            self._make()
        except OSError as error:
            raise SharedFolderError(error) from None

    def _make(self) -> None:
        self._own = CollectorRegistry()
        self._facts = _Facts()
        self._requests = Counter(
            "capsnet_http_requests",
            "Requests answered; 499 is a client that left before.",
            ["method", "route", "status"],
            registry=self._own,
        )
        self._seconds = Histogram(
            "capsnet_http_request_duration_seconds",
            "From a request's head being read to its answer being handed on; without requests refused at once "
            "(queue full, rate limit, no key, not ready).",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_S,
            registry=self._own,
        )
        self._in_flight = Gauge(
            "capsnet_http_requests_in_flight",
            "Requests that are being answered, the one for these metrics among them.",
            multiprocess_mode="livesum",
            registry=self._own,
        )
        rejections = Counter(
            "capsnet_http_rejections", "Requests refused, by reason.", ["reason"], registry=self._own
        )
        self._rejections = {kind: rejections.labels(reason) for kind, reason in REASONS.items()}
        self._queues = _QueueSeries(self._own)
        # Finding a series by its labels takes longer than counting in it.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._open = 0
        self._rendered: dict[str, bytes] = {}
        self._renders, self._rendered_at = RENDERS_AT_ONCE, time.monotonic()
        self._ended: list[tuple[tuple[str, str, int], float | None]] = []
        self._sizes: dict[Gauge, int] = {}
        self._will_count = False

    def queue(self, model: str, stage: str) -> "QueueMetrics":
        """Return the observer of a queue: `stage` names its work, `model` the model of its graph, or nothing."""
        return QueueMetrics(self._queues, model, stage, self._size_soon)

    def describe(self, name: str, description: str, rows: Rows) -> None:
        """Add a metric that is always 1 and has its facts in its labels, read at each request for metrics."""
        self._facts.add(name, description, rows)

    def of_model(self, model: str, stages: Sequence[str]) -> dict[str, float]:
        """Return the sums of a model's queue metrics at these stages, by name, over all processes."""
        sums: dict[str, float] = {}
        for family in self._registry().collect():
            for sample in family.samples:
                if sample.labels.get("model") == model and sample.labels.get("stage") in stages:
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def begin(self) -> None:
        """Count a request as being answered."""
        self._open += 1
        self._count_soon()

    def end(self, method: str, route: str, status: int, seconds: float, problem: str | None) -> None:
        """Count a request as answered: `route` is a template, `problem` the kind of problem it was answered with."""
        self._open -= 1
        key = method if method in METHODS else "other", route, status
        self._ended.append((key, None if problem in UNTIMED else seconds))
        self._count_soon()
        if problem in self._rejections:
            self._rejections[problem].inc()

    def _size_soon(self, gauge: Gauge, items: int) -> None:
        self._sizes[gauge] = items
        self._count_soon()

    def _count_soon(self) -> None:
        """Write the numbers once in a turn of the event loop: many turns answer a whole batch."""
        if not self._will_count:
            self._will_count = True
            asyncio.get_running_loop().call_soon(self.count)

    def count(self) -> None:
        """Write the pending counts."""
        ended, self._ended, self._will_count = self._ended, [], False
        self._in_flight.set(self._open)
        for gauge, items in self._sizes.items():
            gauge.set(items)
        self._sizes.clear()
        for key, times in Counted(key for key, _ in ended).items():
            if key not in self._series:
                self._series[key] = self._requests.labels(*key), self._seconds.labels(*key[:2])
            self._series[key][0].inc(times)
        for key, seconds in ended:
            if seconds is not None:
                self._series[key][1].observe(seconds)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that a client accepts, and its content type.

        Collecting them takes up to 16 ms with several processes. Under very frequent requests the answer is up to
        RENDER_INTERVAL_S old. Otherwise a few clients without a key could take most of the CPU time.
        """
        encode, content_type = choose_encoder(accept)
        now = time.monotonic()
        self._renders = min(self._renders + (now - self._rendered_at) / RENDER_INTERVAL_S, RENDERS_AT_ONCE)
        self._rendered_at = now
        if self._renders >= 1 or content_type not in self._rendered:
            self._renders -= 1
            self.count()
            # With several processes it reads their files, which would block the event loop.
            self._rendered[content_type] = await asyncio.to_thread(lambda: encode(self._registry()))
        return self._rendered[content_type], content_type

    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(self._facts)
        if folder := os.environ.get(FOLDER_VARIABLE):
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
            registry.register(_Workers(Path(folder)))
        else:
            registry.register(self._own)
            ProcessCollector(registry=registry)
        return registry


class _QueueSeries:
    """The metrics of all queues, each series labelled with its model and stage."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["model", "stage"]
        self.items = Gauge(
            "capsnet_queue_items",
            "Items that wait for a slot; at stage `admission`, requests that wait in line.",
            labels,
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.wait = Histogram(
            "capsnet_queue_wait_seconds",
            "How long a request waited for a slot.",
            labels,
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.batch = Histogram(
            "capsnet_batch_items", "Items in one batch.", labels, buckets=BATCH_BUCKETS, registry=registry
        )
        self.run = Histogram(
            "capsnet_batch_duration_seconds",
            "How long one batch ran, whatever it needed.",
            labels,
            buckets=RUN_BUCKETS_S,
            registry=registry,
        )
        self.steps = {
            name: Histogram(
                f"capsnet_{name}_duration_seconds",
                f"How long one run of the {graph} took, over a whole batch.",
                ["model"],
                buckets=RUN_BUCKETS_S,
                registry=registry,
            )
            for name, graph in (("encode", "encoder"), ("decode", "decoder"))
        }
        self.failures = Counter("capsnet_batch_failures", "Batches that failed.", labels, registry=registry)


class QueueMetrics:
    """Counts what one queue does; an `Observer` of the batcher."""

    def __init__(
        self, series: _QueueSeries, model: str, stage: str, size_soon: Callable[[Gauge, int], None]
    ) -> None:
        self._size_soon = size_soon
        self._items = series.items.labels(model, stage)
        self._wait = series.wait.labels(model, stage)
        self._batch = series.batch.labels(model, stage)
        self._run = series.run.labels(model, stage)
        self._failures = series.failures.labels(model, stage)
        self._steps = {name: steps.labels(model) for name, steps in series.steps.items() if model}

    def on_queue_size(self, items: int) -> None:
        """Record how many items wait now."""
        self._size_soon(self._items, items)

    def on_batch(self, items: int, run: BatchRun) -> None:
        """Record that a batch of so many items was run."""
        self._batch.observe(items)
        self._run.observe(run.ended - run.started)
        for step in run.steps:
            self._steps[step.name].observe(step.ended - step.started)
        if run.error is not None:
            self._failures.inc()

    def on_complete(self, arrived: float, runs: Sequence[BatchRun]) -> None:
        """Record how long a request waited that has its answer from these batches."""
        self._wait.observe((runs[0].started if runs else time.monotonic()) - arrived)


class _Facts(Collector):
    """Metrics that are always 1 and have their facts in labels."""

    def __init__(self) -> None:
        self._families: list[tuple[str, str, Rows]] = []

    def add(self, name: str, description: str, rows: Rows) -> None:
        self._families.append((name, description, rows))

    def collect(self) -> Iterable[Metric]:
        for name, description, current in self._families:
            rows = current()
            family = GaugeMetricFamily(name, description, labels=list(rows[0]))
            for row in rows:
                family.add_metric(list(row.values()), 1)
            yield family


class _Workers(Collector):
    """Memory, processor time and files of each process that shares the folder, by its id."""

    def __init__(self, folder: Path) -> None:
        self._pids = sorted(file.stem.rpartition("_")[2] for file in folder.glob("gauge_livesum_*.db"))

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids:
            for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    family.add_sample(sample.name, {"pid": pid}, sample.value)
        return families.values()


def remove_worker(pid: int) -> None:
    """Remove the gauges of a process that has ended; its counters stay."""
    if os.environ.get(FOLDER_VARIABLE):
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
