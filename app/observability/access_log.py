"""The line in the log that each request leaves."""

import asyncio
import sys
from datetime import UTC, datetime

from .logging_config import renderer

# Asked every few seconds by an orchestrator: while all is well, only the level debug shows them.
PROBES = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})


class AccessLog:
    """Writes lines in the form of the log's others, past the machinery that these go through.

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
        """Write the line of one request when the event loop comes round.

        A probe that was answered well has a line at the level debug alone.
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
        """Write what has gathered."""
        lines, self._lines = self._lines, []
        if lines:
            sys.stderr.write("\n".join([*lines, ""]))
            sys.stderr.flush()
