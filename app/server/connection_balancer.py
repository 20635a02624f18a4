"""Share the number of connections of each worker, so that a worker with more leaves new ones to the others.

All workers accept from one socket. Without this, nearly all connections would go to the worker that wakes first. With a
socket for each worker (SO_REUSEPORT) the kernel chooses by a hash of the addresses: of a client's four connections, all
go to one of two workers one time in eight.

Of 32 connections at once, the busier of two workers gets 16 in the median and 17 at most; without it 32. The rate is 98
to 102 % (docs/log/serving.md, several processes). It goes when another server shares one socket as evenly.
"""

from .shared_memory import map_numbers

# A worker may have more connections than another by one in so many, so that hundreds at once are accepted quickly.
TOLERATED = 20

# The count of a worker that accepts no connections.
CLOSED = 2**32 - 1


class WorkerConnections:
    """The connections of all workers, as one worker sees them; it writes only its own number.

    Parameters
    ----------
    number
        The worker's own number, from 0.
    file
        Descriptor of the counts, a number (uint64) a worker: `CLOSED` at first.
    """

    def __init__(self, number: int, file: int) -> None:
        self._number = number
        self._counts = map_numbers(file)

    def publish(self, connections: int) -> None:
        """Publish how many connections this worker has."""
        self._counts[self._number] = connections

    def close(self) -> None:
        """Publish that this worker accepts no more."""
        self.publish(CLOSED)

    def has_most(self) -> bool:
        """Tell whether another accepting worker has fewer connections than this one by more than a twentieth."""
        own = self._counts[self._number]
        return min(self._counts) < own - own // TOLERATED
