"""The workers of one port among themselves: who has more connections than another hands a new one on.

The kernel gives a new connection to the socket of one worker by a hash of its addresses. Of many that is even enough;
of four connections, with which a client sends batches, all go to one of two workers one time in eight, and the other
one does nothing.
"""

import contextlib
import mmap
import os
import socket
from collections.abc import Iterator, Sequence

from .shared_memory import shared_numbers

# The count of a worker that takes no connections.
CLOSED = 2**32 - 1


class Counts:
    """Whole numbers in memory that all workers see, each written by one of them alone, so that none is lost.

    `open` has the connections of each worker, `taken` what each has taken out of its inbox since the beginning, and
    `put[i][j]` what `i` has put into the inbox of `j`.
    """

    def __init__(self, file: int, workers: int) -> None:
        numbers = memoryview(mmap.mmap(file, os.fstat(file).st_size)).cast("Q")
        self.open, self.taken = numbers[:workers], numbers[workers : 2 * workers]
        self.put = [numbers[start : start + workers] for start in range(2 * workers, len(numbers), workers)]

    def of(self, worker: int) -> int:
        """The connections of a worker, those in its inbox among them; `CLOSED` or more where it takes none."""
        return self.open[worker] + sum(row[worker] for row in self.put) - self.taken[worker]


class Board:
    """What the workers share, kept by the supervisor: the counts, and an inbox for each that the others put into.

    The inbox of a worker that has died goes to the worker that takes its place.
    """

    def __init__(self, workers: int) -> None:
        self._boxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
        self._file = shared_numbers("connections", [CLOSED] * workers + [0] * workers * (workers + 1))
        self._counts = Counts(self._file, workers)

    def files(self, number: int) -> list[int]:
        """File descriptors that a worker inherits, in the order in which `Siblings` takes them."""
        return [
            self._file,
            self._boxes[number][0].fileno(),
            *(box.fileno() for _, box in self._boxes),
        ]

    def gone(self, number: int) -> None:
        """A worker has ended."""
        self._counts.open[number] = CLOSED

    def close(self) -> None:
        """Stop sharing."""
        os.close(self._file)
        for pair in self._boxes:
            for box in pair:
                box.close()


class Siblings:
    """The other workers, as one of them sees them.

    Parameters
    ----------
    number
        Its own, from 0.
    files
        What `Board.files` gives.
    """

    def __init__(self, number: int, files: Sequence[int]) -> None:
        counts, own, *boxes = files
        self._number = number
        self._others = [other for other in range(len(boxes)) if other != number]
        self._counts = Counts(counts, len(boxes))
        self.box = socket.socket(fileno=own)
        self._boxes = [socket.socket(fileno=box) for box in boxes]
        for box in (self.box, *self._boxes):
            box.setblocking(False)

    def publish(self, connections: int) -> None:
        """Say how many connections this worker has, those in its inbox left out."""
        self._counts.open[self._number] = connections

    def close(self) -> None:
        """Have no more handed on to this worker."""
        self.publish(CLOSED)

    def hand_on(self, connection: socket.socket) -> bool:
        """Give a new connection to the worker that has the fewest, where that is fewer than this one has."""
        other = min(self._others, key=self._counts.of)
        if self._counts.of(other) >= self._counts.of(self._number):
            return False
        self._counts.put[self._number][other] += 1  # first: it may be taken out at once
        try:
            socket.send_fds(self._boxes[other], [b"\0"], [connection.fileno()])
        except OSError:  # its inbox is full
            self._counts.put[self._number][other] -= 1
            return False
        connection.close()
        return True

    def handed_on(self) -> Iterator[socket.socket]:
        """Return the connections in this worker's inbox; where it can open no more files, they stay there.

        Raises
        ------
        OSError
            With `errno.EMFILE`: a connection taken out without a file to hold it would be lost.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                os.close(os.dup(self.box.fileno()))
                _, files, _, _ = socket.recv_fds(self.box, 1, 1)
                yield from (socket.socket(fileno=file) for file in files)
                self._counts.taken[self._number] += 1  # last: they are counted as open by now
