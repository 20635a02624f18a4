"""Limit the memory in which images are decoded: one budget for all workers of a service.

A file of 34 bytes can declare 50 megapixels, and WebP's decoder takes 16 bytes for each: 800 MB. So each decoding
first claims the memory that was measured for its format (`capsnet.preprocessing.image_file`).
"""

import array
import contextlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator

from capsnet.preprocessing.image_file import ImageTooLarge

from ..errors import ContentTooLarge, QueueFull

# A decoding that takes no more bytes than this claims nothing: the number of threads bounds these.
UNCOUNTED_BYTES = 16_000_000

# Bytes that a decoding may take outside of the one thread for large images.
MOST_BYTES_WITHOUT_WAITING = 64_000_000

# Seconds between two checks for memory that has become free.
POLL_S = 0.01


class DecodeMemory:
    """Bytes that decoders may take, and the bytes that they take now.

    Parameters
    ----------
    limit
        Bytes that all decodings of all workers take together.
    most_wait
        Seconds that a decoding may wait for others to end.
    """

    def __init__(self, limit: int, most_wait: float) -> None:
        self._limit = limit
        self._most_wait = most_wait
        self._lock = threading.Lock()
        self._used = memoryview(array.array("Q", [0]))  # by worker
        self._number = 0
        self._file: int | None = None

    def share(self, file: int, number: int) -> None:
        """Count together with other workers in a file of one number (uint64) a worker; `number` is the own one."""
        self._used = memoryview(mmap.mmap(file, os.fstat(file).st_size)).cast("Q")
        self._number = number
        self._file = file

    @property
    def used(self) -> int:
        """Return the bytes that all workers claim now."""
        return sum(self._used)

    @contextlib.contextmanager
    def claim(self, may_wait: bool) -> Iterator[Callable[[int], None]]:
        """Yield a function that claims memory for one decoding; all of it is released at the end.

        Called with a number of bytes, the function raises `ImageTooLarge` where it may not wait and no memory is free,
        else `ContentTooLarge` for more than the limit, or `QueueFull` where none became free in time.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size <= max(held, UNCOUNTED_BYTES):
                return
            self._check(size, may_wait)
            give_up = time.monotonic() + (self._most_wait if may_wait else 0.0)
            while not self._take(size - held):
                if time.monotonic() >= give_up:
                    raise self._nothing_free(size, may_wait)
                time.sleep(POLL_S)
            held = size

        try:
            yield take
        finally:
            if held:
                self._release(held)

    def _check(self, size: int, may_wait: bool) -> None:
        if not may_wait and size > MOST_BYTES_WITHOUT_WAITING:
            raise self._nothing_free(size, may_wait)
        if size > self._limit:
            raise ContentTooLarge(
                f"to decode the image takes {size:,} bytes of memory, and at most {self._limit:,} are taken "
                "(CAPSNET_DECODE_MEMORY); send it with fewer pixels, or as JPEG or PNG"
            )

    @staticmethod
    def _nothing_free(size: int, may_wait: bool) -> Exception:
        if not may_wait:
            return ImageTooLarge(f"to decode the image takes {size:,} bytes of memory")
        return QueueFull("other images take the memory that there is for decoding; send this one again")

    def _take(self, size: int) -> bool:
        with self._locked():
            if self.used + size > self._limit:
                return False
            self._used[self._number] += size
            return True

    def _release(self, size: int) -> None:
        with self._locked():
            self._used[self._number] -= size

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of this process and that of the workers; the system releases it when a process dies."""
        with self._lock:
            if self._file is None:
                yield
                return
            import fcntl  # only systems on which workers share a port need it, and have it

            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
