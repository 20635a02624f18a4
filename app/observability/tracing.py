"""Send OpenTelemetry traces, where the standard variables ask for them: OTEL_EXPORTER_OTLP_ENDPOINT turns them on.

Spans go to a collector as OTLP over HTTP: one for each request, and below it one for each wait in a queue and one for
each step that followed. A trace that a client has begun (W3C Trace Context) is continued.
"""

import os
import threading
import time
from collections.abc import Sequence

from opentelemetry import trace

from .. import __version__
from ..errors import SettingsError
from ..inference.batching.requests import BatchRun
from ..inference.batching.timing import Timing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

# Seconds in which the last spans must be sent when the service ends.
FLUSH_S = 2.0


def requesting_variable() -> str | None:
    """Return the name of the variable that asks for traces, if one does.

    Raises
    ------
    SettingsError
        If it asks for a package that is missing.
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER is {exporter!r}: should be 'otlp' or 'none'")
    variables = [*ENDPOINTS, *(["OTEL_TRACES_EXPORTER"] if exporter else [])]
    variable = next((name for name in variables if os.environ.get(name)), None)
    protocol = next((name for name in PROTOCOLS if variable and os.environ.get(name)), None)
    if protocol is not None and os.environ[protocol] != "http/protobuf":
        raise SettingsError(
            f"{protocol} is {os.environ[protocol]!r}: spans are sent as 'http/protobuf' alone"
        )
    return variable


class Tracing:
    """Makes spans and sends them.

    Raises
    ------
    SettingsError
        If OpenTelemetry's SDK is not installed.
    """

    def __init__(self, variable: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingsError(
                f"{variable} asks for traces, which need pip install opentelemetry-sdk "
                f"opentelemetry-exporter-otlp-proto-http ({error})"
            ) from None
        ours = Resource.create({"service.name": "capsnet", "service.version": __version__})
        self._provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = self._provider.get_tracer("app", __version__)

    def queue(self, model: str, stage: str) -> "QueueSpans":
        """Return the observer of a queue: `stage` names its work, `model` the model of its graph, or nothing."""
        return QueueSpans(self.tracer, model, stage)

    def close(self) -> None:
        """Send the remaining spans, for at most FLUSH_S seconds."""
        # The SDK retries without a limit, so it gets a thread that may be left behind.
        sender = threading.Thread(target=self._provider.shutdown, daemon=True)
        sender.start()
        sender.join(FLUSH_S)


class QueueSpans:
    """Makes spans for the wait of each request in one queue and for each step after that; an `Observer`."""

    def __init__(self, tracer: trace.Tracer, model: str, stage: str) -> None:
        self._tracer = tracer
        self._stage = stage
        self._attributes = {"capsnet.stage": stage} | ({"capsnet.model": model} if model else {})
        self._epoch = time.time_ns() - time.monotonic_ns()

    def on_queue_size(self, items: int) -> None:
        """Ignore this: it belongs to no single request."""

    def on_batch(self, items: int, run: BatchRun) -> None:
        """Ignore this: it belongs to no single request."""

    def on_complete(self, arrived: float, runs: Sequence[BatchRun]) -> None:
        """Add spans for the wait and for the steps that followed it to the current request."""
        if not trace.get_current_span().is_recording():
            return
        self._add("queue wait", arrived, runs[0].started if runs else time.monotonic())
        for run in runs:
            for name, started, ended in run.steps or [Timing(self._stage, run.started, run.ended)]:
                self._add(name, started, ended)

    def _add(self, name: str, start: float, end: float) -> None:
        span = self._tracer.start_span(name, start_time=self._epoch_ns(start), attributes=self._attributes)
        span.end(self._epoch_ns(end))

    def _epoch_ns(self, monotonic: float) -> int:
        return self._epoch + int(monotonic * 1e9)
