"""Traces, received as a collector would: OTLP over HTTP on the loopback."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.observability.tracing import requesting_variable
from tests.app.server_process import ROOT, environment, run_app, serving

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NANOSECONDS = 1e9


@contextmanager
def collector(requests: list[ExportTraceServiceRequest]) -> Iterator[str]:
    """The address of a receiver that puts what comes into `requests`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{receiver.server_port}"
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def attributes(holder: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}


def test_a_trace_that_a_client_began_goes_on_through_the_queues(
    tiny_models: Path, tmp_path: Path, seven: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[ExportTraceServiceRequest] = []
    with collector(requests) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        monkeypatch.setenv(
            "OTEL_BSP_SCHEDULE_DELAY", "3600000"
        )  # so they come when the service ends, or never
        with serving(tmp_path / "log", models=tiny_models, log_format="json") as running:
            for flags, request_id in (("01", "traced"), ("00", "not-sampled")):
                running.client.post(
                    "/classify",
                    files={"file": seven},
                    headers={"traceparent": f"00-{TRACE}-{CALLER}-{flags}", "X-Request-ID": request_id},
                )
            running.client.get("/models/nothing")
            running.client.get("/metrics")
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(timeout=30) in (0, -signal.SIGTERM)
    resources = [each for request in requests for each in request.resource_spans]
    told = attributes(resources[0].resource)
    assert told["service.name"] == "capsnet"
    assert told["deployment.environment.name"] == "test"
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    (root,) = [span for span in spans if span.name == "POST /classify"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, CALLER)
    said = attributes(root)
    assert (said["http.route"], said["http.response.status_code"]) == ("/classify", 200)
    assert said["capsnet.request_id"] == "traced"

    children = sorted(
        (span for span in spans if span.parent_span_id == root.span_id),
        key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano),
    )
    steps = [(span.name, attributes(span).get("capsnet.model")) for span in children]
    assert [step for step in steps if step[1]] == [
        ("queue wait", "mnist"),
        ("encode", "mnist"),
        ("decode", "mnist"),
    ]
    for span in children:
        assert span.trace_id == root.trace_id
        assert root.start_time_unix_nano - 0.01 * NANOSECONDS <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano + 0.01 * NANOSECONDS

    (other,) = [span for span in spans if not span.parent_span_id]
    assert other.name == "GET /models/{name}"
    assert attributes(other)["http.response.status_code"] == 404
    assert len(spans) == len(children) + 2

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["trace_id"] for line in lines if line.get("request_id") == "traced"] == [TRACE]
    assert "trace_id" not in next(line for line in lines if line.get("path") == "/metrics")


def test_a_collector_that_is_gone_delays_no_request(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(tmp_path / "log", models=tiny_models) as running:
        assert running.client.get("/models").status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=15) in (0, -signal.SIGTERM)


def run_python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=ROOT, env=environment() | variables, capture_output=True, text=True, timeout=120
    )


def test_off_by_default_nothing_of_the_sdk_is_loaded(tiny_models: Path) -> None:
    program = """
import sys
from app.main import create_app
from app.settings import Settings
app = create_app(Settings.load())
print(app.state.capsnet.tracing, [name for name in sys.modules if name.startswith("opentelemetry.sdk")])
"""
    result = run_python(program, CAPSNET_MODELS=str(tiny_models), CAPSNET_LOG_LEVEL="error")
    assert result.stdout.splitlines()[-1] == "None []"


def test_asked_for_and_not_installed_stops_the_start_in_one_line(tiny_models: Path) -> None:
    program = "import sys; sys.modules['opentelemetry.sdk'] = None; from app.__main__ import main; main()"
    result = run_python(
        program, CAPSNET_MODELS=str(tiny_models), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"
    )
    assert result.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces" in result.stderr
    assert "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "should be 'otlp' or 'none'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "'http/protobuf' alone"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    result = run_app()
    assert result.returncode == 1
    assert result.stderr.startswith(f"capsnet: {variable} is {value!r}: ")
    assert words in result.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": ""},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    ],
    ids=["empty", "of traces"],
)
def test_the_protocol_of_traces_counts_and_an_empty_one_does_not(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert requesting_variable() == "OTEL_EXPORTER_OTLP_ENDPOINT"
