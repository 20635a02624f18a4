"""How many connections each worker of a port has, so that who has more leaves a new one to the others.

All workers accept from one socket. Without this, nearly all connections would go to the worker that wakes first. With a
socket for each worker (SO_REUSEPORT) the kernel chooses by a hash of the addresses: one time in eight all of four
connections, with which a client sends batches, go to one of two workers.
"""

from .shared_memory import map_numbers

# A worker may have more connections than another by one in so many: when hundreds come at once, each is not waited for.
TOLERATED = 20

# The count of a worker that takes no connections.
CLOSED = 2**32 - 1


class WorkerConnections:
    """The connections of all workers as one of them sees them, who writes its own number alone.

    Parameters
    ----------
    number
        Its own, from 0.
    file
        Descriptor of the counts, a number (uint64) a worker: `CLOSED` at first.
    """

    def __init__(self, number: int, file: int) -> None:
        self._number = number
        self._counts = map_numbers(file)

    def publish(self, connections: int) -> None:
        """Say how many connections this worker has."""
        self._counts[self._number] = connections

    def close(self) -> None:
        """Say that this worker takes no more."""
        self.publish(CLOSED)

    def has_most(self) -> bool:
        """Whether another worker, which takes connections, has fewer than this one by more than a twentieth."""
        own = self._counts[self._number]
        return min(self._counts) < own - own // TOLERATED
