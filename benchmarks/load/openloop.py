"""Make an open-loop load: requests arrive at a rate, whether or not earlier ones have been answered.

wrk is a closed loop: its clients wait for their answers, so it never asks for more than it gets. h2load (Debian's
`nghttp2-client`) sends over many connections, each at its own rate. A connection carries one request at a time, so at
most as many requests are under way as there are connections; the rate that was really sent is reported as well.
"""

import re
import resource
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .wrk import LoadError, output_of

# Seconds before the measurement, to open the connections.
WARM_UP = 2
SUMMARY = re.compile(
    r"requests: \d+ total, (\d+) started, (\d+) done, \d+ succeeded, \d+ failed, (\d+) errored"
)


@dataclass(frozen=True)
class Arrivals:
    """The answers to the requests of some seconds, by status, and their milliseconds by status."""

    seconds: float
    broken: int
    statuses: Counter[int]
    latencies: dict[int, np.ndarray]

    def rate(self, status: int) -> float:
        """Return answers a second with this status."""
        return self.statuses[status] / self.seconds

    def percentile(self, percent: float, status: int = 200) -> float:
        """Return a percentile of the latency of answers with this status, milliseconds; 0 where there are none."""
        found = self.latencies.get(status)
        return float(np.percentile(found, percent)) if found is not None else 0.0


def run(url: str, body: Path, content_type: str, *, rate: float, seconds: int, connections: int) -> Arrivals:
    """Send one prepared body at `rate` a second, over `connections` connections, for `seconds` after a warm-up.

    Raises
    ------
    LoadError
        If h2load is not installed or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = ["h2load", "--h1", f"-c{connections}", f"-D{seconds}", f"--warm-up-time={WARM_UP}"]
        command += [f"--rps={rate / connections:.4f}", f"-d{body}", f"-HContent-Type: {content_type}"]
        command += [f"--log-file={log}", url]
        output = output_of(command, package="nghttp2-client", seconds=WARM_UP + seconds)
        found = SUMMARY.search(output)
        if found is None:
            raise LoadError(f"h2load printed no figures:\n{output}")
        return Arrivals(seconds, int(found[3]), *_read(log))


def _read(log: Path) -> tuple[Counter[int], dict[int, np.ndarray]]:
    """Return answers by status, and their milliseconds, from lines of start, status and microseconds."""
    lines = (
        np.loadtxt(log, dtype=np.int64, ndmin=2, usecols=(1, 2)) if log.stat().st_size else np.zeros((0, 2))
    )
    latencies = {int(status): lines[lines[:, 0] == status, 1] / 1e3 for status in np.unique(lines[:, 0])}
    return Counter({status: len(found) for status, found in latencies.items()}), latencies


def allow_many_connections() -> None:
    """Raise the limit of open files, for this process and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
