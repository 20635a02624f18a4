"""Track whether a graph still runs: a device can be lost while the process lives on."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)

# After so many failed batches in a row the graph counts as failing.
MOST_FAILURES = 3


class GraphHealth:
    """Counts the batches of a graph that failed in a row. `name` is its name in the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0

    @property
    def is_failing(self) -> bool:
        """Tell whether the last batches have all failed."""
        return self._failures >= MOST_FAILURES

    def wrap(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        is_sound: Callable[[Sequence[Result]], bool] = lambda _: True,
    ) -> Callable[[list[Item]], Sequence[Result]]:
        """Return `run` with its outcomes counted; results that are not sound are a failure too."""

        def watched(items: list[Item]) -> Sequence[Result]:
            try:
                results = run(items)
            except Exception as error:
                self.record_failure(error)
                raise
            if is_sound(results):
                self.record_success()
            else:
                self.record_failure(FloatingPointError("no result is finite"))
            return results

        return watched

    def record_failure(self, error: Exception) -> None:
        """Count a failed batch; log when the graph begins to count as failing."""
        self._failures += 1
        if self._failures == MOST_FAILURES:
            log.error("a graph fails", graph=self._name, batches=MOST_FAILURES, reason=str(error))

    def record_success(self) -> None:
        """Reset the count; log when the graph runs again."""
        if self.is_failing:
            log.warning("a graph runs again", graph=self._name)
        self._failures = 0
