"""Limit the bytes that the bodies of all requests take together."""

from ..errors import QueueFull

# A body up to so many bytes is small. The last quarter of the budget is for these alone. Otherwise a few clients that
# do not end their large bodies would block the images of all clients.
SMALL_BODY_BYTES = 1_000_000
SHARE_OF_LARGE = 0.75

# Once a body has more than SMALL_BEGINNING_BYTES, WINDOW_BYTES more must come in each window, until it is whole.
SMALL_BEGINNING_BYTES = 65_536
WINDOW_S = 5.0
WINDOW_BYTES = 10_000


class BodyBudget:
    """Counts the bytes of bodies from their arrival until their requests are answered.

    It counts bytes that have come, not declared lengths: to take space, a client must send.

    Parameters
    ----------
    limit
        Bytes of all bodies, of which large ones take three quarters at most. A body whose declared length does not fit
        is refused before any of it is read, and beyond the limit no more is read of any body.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def reserve(self, more: int, so_far: int = 0) -> None:
        """Check that so many more bytes of a body fit into the budget; raises QueueFull."""
        limit = self._limit if so_far + more <= SMALL_BODY_BYTES else SHARE_OF_LARGE * self._limit
        if self.used + more > limit:
            raise QueueFull(
                f"the bodies of other requests fill the {self._limit} bytes that there are for them"
            )


def declared_length(header: bytes) -> int:
    """Return the bytes of a body that a Content-Length declares; 0 where it is no number.

    Leading zeros are dropped first: there may be more of them than the digits that Python converts.
    """
    return int(header.lstrip(b"0") or b"0") if header.isdigit() else 0
