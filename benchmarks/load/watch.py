"""Watch a server under load: its memory, and how fast it answers a probe."""

import http.client
import statistics
import threading
import time
from typing import Self

from benchmarks.load.servers import Server


class Sampler:
    """Takes a sample of a server every so many seconds, in its own thread; use as a context."""

    def __init__(self, server: Server, every: float) -> None:
        self._server = server
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._sample()

    def _sample(self) -> None:
        raise NotImplementedError


class Watch(Sampler):
    """Samples of the memory of a server and all its processes."""

    def __init__(self, server: Server, every: float = 1.0) -> None:
        super().__init__(server, every)
        self._start = time.monotonic()
        self.samples: list[tuple[float, int]] = []

    def _sample(self) -> None:
        self.samples.append((time.monotonic() - self._start, self._server.resident()))

    def growth(self, after: float) -> float:
        """Return megabytes a minute, by linear regression over samples after so many seconds; 0 for fewer than two."""
        late = [(seconds / 60, size / 2**20) for seconds, size in self.samples if seconds >= after]
        if len(late) < 2:
            return 0.0
        return statistics.linear_regression(*zip(*late, strict=True)).slope

    def medians(self) -> list[float]:
        """Return the median of each third of the time, megabytes: single decodings do not affect it."""
        third = max(1, len(self.samples) // 3)
        parts = [self.samples[start : start + third] for start in (0, third, 2 * third)]
        return [statistics.median(size for _, size in part) / 2**20 for part in parts if part]

    @property
    def largest(self) -> float:
        """Return the largest sample, megabytes."""
        return max((size for _, size in self.samples), default=0) / 2**20


class Probes(Sampler):
    """Requests `/health/live` repeatedly, each time over a new connection."""

    def __init__(self, server: Server, every: float = 0.1) -> None:
        super().__init__(server, every)
        self._seconds: list[float] = []

    def _sample(self) -> None:
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        try:
            connection.request("GET", "/health/live")
            alive = connection.getresponse().status == 200
        except OSError:
            alive = False
        finally:
            connection.close()
        self._seconds.append(time.perf_counter() - start if alive else 10.0)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the milliseconds; a failed probe counts as ten seconds."""
        return 1e3 * statistics.quantiles(self._seconds, n=100, method="inclusive")[percent - 1]
