"""Which requests have a line in the access log."""

import asyncio
import json

import pytest

from app.observability.access_log import PROBES, AccessLog


def logged(
    level: str, requests: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]
) -> list[tuple[str, int]]:
    """The paths and statuses that have a line, of requests with these."""

    async def log() -> None:
        access = AccessLog("json", level)
        for path, status in requests:
            access.add("GET", path, status, 0.001, client=("127.0.0.1", 1), request_id="x")
        await asyncio.sleep(0)
        access.write()

    asyncio.run(log())
    lines = map(json.loads, capsys.readouterr().err.splitlines())
    return [(line["path"], line["status"]) for line in lines]


def test_probes_that_are_answered_well_have_no_line_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    green = [(path, 200) for path in sorted(PROBES)]
    others = [("/health/ready", 503), ("/models", 200), ("/health/liveness", 404)]
    assert logged("info", green + others, capsys) == others
    assert logged("debug", green + others, capsys) == green + others
    assert logged("warning", green + others, capsys) == []
