"""The files through which several processes count together, with their space on the disk reserved.

prometheus_client makes them with a hole where the numbers will be. Where the disk is full, the system kills the process
that writes into the hole by SIGBUS.
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
    """Numbers in a file whose space is reserved; without space for more, further ones are in memory alone."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._beside: dict[str, tuple[float, float]] = {}
        if not read_mode:
            _reserve(filename, FIRST_BYTES)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a number and its time; a new one is zero."""
        if key in self._positions or (key not in self._beside and self._has_room(key)):
            value, timestamp = super().read_value(key)  # type: ignore[no-untyped-call]
            return value, timestamp
        return self._beside.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a number and its time."""
        # Each request writes a dozen numbers, all of which are known but for the first time.
        if key in self._positions or (key not in self._beside and self._has_room(key)):
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
        else:
            self._beside[key] = value, timestamp

    def _has_room(self, key: str) -> bool:
        """See that the file has space for a new number, and tell whether it has."""
        needed, capacity = self._used + len(key.encode()) + SERIES_BYTES, self._capacity
        while capacity < needed:
            capacity *= 2
        if capacity > self._capacity:
            try:
                _reserve(self._fname, capacity)
            except OSError as error:
                if not self._beside:
                    log.warning(
                        "no space for more metrics; further ones are not counted",
                        file=self._fname,
                        error=error.strerror,
                    )
                return False
        return True


def _reserve(file: str, size: int) -> None:
    """Have the system set space aside; raises OSError where there is none."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)
