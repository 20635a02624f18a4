"""Put a span around every request.

OpenTelemetry's ASGI instrumentation takes 1.7 times as long, and names no route: that is unknown when the span begins
(docs/log/project.md).
"""

import structlog
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..authentication import is_open
from ..route_names import path_of, route_of


class TracingMiddleware:
    """Puts a span around every request but those of probes and pages, as pure ASGI."""

    def __init__(self, app: ASGIApp, tracer: trace.Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(path_of(scope)):
            await self._app(scope, receive, send)
            return
        parent = propagate.extract(Headers(scope=scope))
        with self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER) as span:
            trace_id = scope["state"]["trace_id"] = trace.format_trace_id(span.get_span_context().trace_id)

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _describe(span, scope, message["status"])
                await send(message)

            with structlog.contextvars.bound_contextvars(trace_id=trace_id):
                await self._app(scope, receive, send_and_note)


def _describe(span: Span, scope: Scope, status: int) -> None:
    """Set the attributes that OpenTelemetry's conventions for HTTP servers ask for."""
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.response.status_code": status,
            "http.route": route,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            "capsnet.request_id": scope["state"]["request_id"],
        }
    )
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
