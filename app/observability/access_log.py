"""Write one line to the log for each request."""

import asyncio
import sys
from datetime import UTC, datetime

from .logging_config import renderer

# An orchestrator asks these every few seconds: only the level debug shows the successful ones.
PROBES = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})


class AccessLog:
    """Writes lines in the form of the other log lines, without the machinery of `logging`.

    The lines of one turn of the event loop are written together: a batch is answered in one turn.
    """

    def __init__(self, log_format: str, level: str) -> None:
        self._render = renderer(log_format)
        self._silent = level in ("warning", "error")
        self._with_probes = level == "debug"
        self._lines: list[str] = []

    def add(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        *,
        client: tuple[str, int] | None,
        request_id: str,
        trace_id: str = "",
    ) -> None:
        """Write the line of one request at the end of this turn of the event loop.

        A successful probe has a line at the level debug alone.
        """
        if self._silent or (path in PROBES and status < 400 and not self._with_probes):
            return
        event = {
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "client": client[0] if client else "",
            "event": "request",
            "request_id": request_id,
            "logger": __name__,
            "level": "info",
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        if trace_id:
            event["trace_id"] = trace_id
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.write)
        self._lines.append(self._render(event))

    def write(self) -> None:
        """Write the collected lines."""
        lines, self._lines = self._lines, []
        if lines:
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()
