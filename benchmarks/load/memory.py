"""The memory of a server, watched while something else is done to it."""

import statistics
import threading
import time

from benchmarks.load.servers import Server


class Watch:
    """Samples of the memory of a server and all its processes; use as a context."""

    def __init__(self, server: Server, every: float = 1.0) -> None:
        self._server = server
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._start = time.monotonic()
        self.samples: list[tuple[float, int]] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._every):
            self.samples.append((time.monotonic() - self._start, self._server.resident()))

    def growth(self, after: float) -> float:
        """Megabytes a minute, by a straight line through the samples after that many seconds; 0 for fewer than two."""
        late = [(seconds / 60, size / 2**20) for seconds, size in self.samples if seconds >= after]
        if len(late) < 2:
            return 0.0
        return statistics.linear_regression(*zip(*late, strict=True)).slope

    @property
    def largest(self) -> float:
        """The most that was seen, megabytes."""
        return max((size for _, size in self.samples), default=0) / 2**20
