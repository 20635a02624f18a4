"""Decide when a client repeats a request, and when it gives up."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from capsnet.errors import CapsnetError

DEFAULT_RETRIES = 5
DEFAULT_TIMEOUT = 60.0

# Seconds before the first retry where the server names none; the pause doubles with each retry.
FIRST_PAUSE_S = 0.25

# Called before each pause with the error and the seconds to wait.
OnRetry = Callable[[CapsnetError, float], None]


def no_op(error: CapsnetError, pause: float) -> None:
    """Report nothing."""


@dataclass
class RetryPolicy:
    """The retries of one call: at most `retries` within `timeout` seconds."""

    retries: int
    timeout: float
    on_retry: OnRetry = no_op
    made: int = 0
    start: float = field(default_factory=time.monotonic)

    def time_left(self) -> float:
        """Return the seconds until the timeout, always above 0."""
        return max(self.start + self.timeout - time.monotonic(), 0.001)

    def pause_after(self, error: CapsnetError) -> float:
        """Return the seconds to wait before the next retry.

        Raises
        ------
        CapsnetError
            The error itself, if it is not transient, or no retry or no time is left.
        """
        if not error.is_transient or self.made >= self.retries:
            raise error
        pause = self._pause(error.retry_after)
        if pause >= self.time_left():
            raise error
        self.made += 1
        self.on_retry(error, pause)
        return pause

    def _pause(self, retry_after: float | None) -> float:
        """Return the server's pause, or one that doubles; a random part keeps clients from retrying all at once."""
        pause = FIRST_PAUSE_S * 2**self.made if retry_after is None else retry_after
        return pause * random.uniform(1.0, 1.25)  # noqa: S311  # not for security
