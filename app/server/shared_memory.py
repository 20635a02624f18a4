"""Memory that the supervisor and its workers share, so that a full disk takes nothing of it.

A map of a file that the system has not reserved kills the process that writes to it, by SIGBUS, where the disk is full.
Before, a full TMPDIR killed the workers (docs/log/security.md, 7). The cost was not measured apart: these are 8 bytes
for a number, reserved once. It goes with the supervisor.
"""

import array
import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence

from ..errors import StartupError


def shared_numbers(name: str, numbers: Sequence[int]) -> int:
    """Return the descriptor of a file of numbers (uint64), in memory where the system offers that (Linux).

    Raises
    ------
    StartupError
        If there is no space for it.
    """
    data = array.array("Q", numbers).tobytes()
    try:
        file = os.memfd_create(f"capsnet-{name}") if hasattr(os, "memfd_create") else _unnamed_file()
        os.truncate(file, len(data))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, len(data))
        os.write(file, data)
    except OSError as error:
        raise StartupError(
            f"CAPSNET_WORKERS above 1 needs {len(data)} bytes that workers share: {error.strerror}"
        ) from None
    return file


def map_numbers(file: int) -> memoryview:
    """Return the numbers (uint64) of a shared file, as every process sees them."""
    return memoryview(mmap.mmap(file, os.fstat(file).st_size)).cast("Q")


@contextlib.contextmanager
def sharing_numbers(name: str, numbers: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield the descriptor of a file of numbers (uint64) and these; raises StartupError as `shared_numbers` does."""
    file = shared_numbers(name, numbers)
    try:
        yield file, map_numbers(file)
    finally:
        os.close(file)


def _unnamed_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
