"""Reserve disk space for the files through which several processes count together.

prometheus_client creates sparse files. Where the disk is full, the system kills a process that writes into such a file
by SIGBUS.
"""

import os

import structlog
from prometheus_client.mmap_dict import MmapedDict

log = structlog.get_logger(__name__)

# Bytes of a new file. It holds some 300 series, and is doubled when it is full.
FIRST_BYTES = 1 << 16

# Bytes of one series beside its name, rounded up.
SERIES_BYTES = 32


class ReservedDict(MmapedDict):
    """Numbers in a file whose space is reserved; where there is no more space, new ones are in memory alone."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._in_memory: dict[str, tuple[float, float]] = {}
        if not read_mode:
            _reserve(filename, FIRST_BYTES)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a number and its timestamp; a new one is zero."""
        if key in self._positions or (key not in self._in_memory and self._ensure_space(key)):
            value, timestamp = super().read_value(key)  # type: ignore[no-untyped-call]
            return value, timestamp
        return self._in_memory.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a number and its timestamp."""
        # Each request writes a dozen numbers, all of them known except at the first request.
        if key in self._positions or (key not in self._in_memory and self._ensure_space(key)):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        else:
            self._in_memory[key] = value, timestamp

    def _ensure_space(self, key: str) -> bool:
        """Make the file large enough for a new number, and tell whether that worked."""
        needed, capacity = self._used + len(key.encode()) + SERIES_BYTES, self._capacity
        while capacity < needed:
            capacity *= 2
        if capacity > self._capacity:
            try:
                _reserve(self._fname, capacity)
            except OSError as error:
                if not self._in_memory:
                    log.warning(
                        "no space for more metrics; further ones are not counted",
                        file=self._fname,
                        error=error.strerror,
                    )
                return False
        return True


def reserve(descriptor: int, size: int) -> None:
    """Reserve space on the disk for an open file, where the system offers that; raises OSError where there is none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _reserve(file: str, size: int) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        reserve(descriptor, size)
    finally:
        os.close(descriptor)
