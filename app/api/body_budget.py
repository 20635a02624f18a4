"""The bodies of all requests together."""

from ..errors import QueueFull


class BodyBudget:
    """Counts the bytes of bodies from their arrival until their requests are answered.

    Bytes that have come are counted, not declared lengths: to take the space of others, a client must send.

    Parameters
    ----------
    limit
        Bytes of bodies. A body whose declared length finds no space is refused before any of it is read, and beyond the
        limit no more is read of any body.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def reserve(self, more: int) -> None:
        """Take space for so many bytes more; raises QueueFull."""
        if self.used + more > self._limit:
            raise QueueFull(
                f"the bodies of other requests fill the {self._limit} bytes that there are for them"
            )


def declared_length(header: bytes) -> int:
    """The bytes of a body that a Content-Length declares; 0 where it is none.

    Zeros may stand before it, more of them than digits of which Python makes a number.
    """
    return int(header.lstrip(b"0") or b"0") if header.isdigit() else 0
