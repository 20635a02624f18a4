"""The bodies of all requests together."""

from ..errors import QueueFull

# A body up to so many bytes is small. The last quarter of the budget is for these alone, or a few clients who do not
# end their large bodies would keep out everybody's pictures.
SMALL_BODY = 1_000_000
SHARE_OF_LARGE = 0.75

# Once a body has more than SMALL_BEGINNING bytes, so many more must come in each window, until it is whole.
SMALL_BEGINNING = 65_536
WINDOW_S = 5.0
WINDOW_BYTES = 10_000


class BodyBudget:
    """Counts the bytes of bodies from their arrival until their requests are answered.

    Bytes that have come are counted, not declared lengths: to take the space of others, a client must send.

    Parameters
    ----------
    limit
        Bytes of bodies, of which large ones take three quarters at most. A body whose declared length finds no space is
        refused before any of it is read, and beyond the limit no more is read of any body.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def reserve(self, more: int, so_far: int = 0) -> None:
        """Take space for so many bytes more of a body; raises QueueFull."""
        limit = self._limit if so_far + more <= SMALL_BODY else SHARE_OF_LARGE * self._limit
        if self.used + more > limit:
            raise QueueFull(
                f"the bodies of other requests fill the {self._limit} bytes that there are for them"
            )


def declared_length(header: bytes) -> int:
    """The bytes of a body that a Content-Length declares; 0 where it is none.

    Zeros may stand before it, more of them than digits of which Python makes a number.
    """
    return int(header.lstrip(b"0") or b"0") if header.isdigit() else 0
