"""Structured logs on standard error: for people or, as one JSON object a line, for machines."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog

# They repeat what a problem's answer and the access log already say.
QUIET = ("python_multipart", "PIL")


def configure(log_format: str, level: str = "info") -> None:
    """Send the logs of the service and the libraries in one form, `console` or `json`, to standard error.

    Events below `level` (`debug`, `info`, `warning` or `error`) are left out.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(log_format)],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


def renderer(log_format: str) -> Callable[[dict[str, Any]], str]:
    """Return the function that makes a line of an event, for events too many for `logging`."""
    if log_format == "json":
        return _dumps
    console = _console()
    return lambda event: console(None, "info", _escape(None, "info", event))


def _renderers(log_format: str) -> list[Any]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
    return [_escape, _console()]


def _escape(_: Any, __: str, event: Any) -> Any:
    """Escape control characters, or what a client sends could move the cursor and forge lines."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in value)
    return event


def _console() -> structlog.dev.ConsoleRenderer:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
