"""Decide when to ask again and when to give up, for both clients alike."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from capsnet.errors import CapsnetError

DEFAULT_RETRIES = 5
DEFAULT_TIMEOUT = 60.0

# Seconds before the first repetition where the server names none; each further one waits twice as long.
FIRST_PAUSE = 0.25

# Called before each pause with the error and the seconds to wait.
Notice = Callable[[CapsnetError, float], None]


def silent(error: CapsnetError, pause: float) -> None:
    """Say nothing of a repetition."""


@dataclass
class Attempts:
    """The attempts at one request: at most `retries` repetitions within `timeout` seconds."""

    retries: int
    timeout: float
    notice: Notice = silent
    made: int = 0
    start: float = field(default_factory=time.monotonic)

    def time_left(self) -> float:
        """Seconds until the request's time is over; never nothing at all."""
        return max(self.start + self.timeout - time.monotonic(), 0.001)

    def pause_after(self, error: CapsnetError) -> float:
        """Seconds to wait before the request is made again.

        Raises
        ------
        CapsnetError
            The error itself, if asking again is of no use, or repetitions or time are used up.
        """
        if not error.is_transient or self.made >= self.retries:
            raise error
        pause = self._pause(error.retry_after)
        if pause >= self.time_left():
            raise error
        self.made += 1
        self.notice(error, pause)
        return pause

    def _pause(self, retry_after: float | None) -> float:
        """What the server says, or twice as long each time; a little more by chance, so that clients do not march."""
        pause = FIRST_PAUSE * 2**self.made if retry_after is None else retry_after
        return pause * random.uniform(1.0, 1.25)  # noqa: S311  # no secret
