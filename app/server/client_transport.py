"""A transport that lets the client read its last answer before it closes, and aborts for a client that reads nothing.

A socket that is closed while the client still sends answers with a reset, and the reset destroys what the client has
not read yet (RFC 9112, section 9.6). So this transport first ends its own direction, then reads and discards for a
bounded time and number of bytes, then closes. Of 20 refused uploads of 25 MB, 20 answers arrive, and 0 under plain
uvicorn (docs/log/serving.md, measured apart). Behind nginx 12 of 12 arrive, and 0 of 12 before (docs/log/security.md).
It goes when uvicorn closes in this way.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

# Limits while a client still sends bytes that are discarded: the time, the time without a byte, and the bytes.
LINGER_S = 30.0
LINGER_IDLE_S = 5.0
LINGER_BYTES = 64_000_000

# A client must take so many bytes of its answers in so many seconds, or its connection is aborted.
UNREAD_CHECK_S = 15.0
UNREAD_MIN_BYTES = 8_192


class ClientTransport(asyncio.Transport):
    """Wrap the transport of one connection.

    Parameters
    ----------
    is_sending
        Return whether the client may be sending bytes that will not be read.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, is_sending: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._is_sending = is_sending
        self._closing = self._held = False
        self._unread = 0
        self._discarded = 0
        self._ends_at = 0.0
        self._lingering: asyncio.TimerHandle | None = None
        self._reader_check: asyncio.TimerHandle | None = None
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]  # each request calls it

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows of its socket."""
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, unless the connection is closed: uvloop raises an error then, before the protocol hears of it."""
        if not self.is_closing():
            self._transport.write(data)

    def hold(self) -> None:
        """Read nothing until `release`, even if a request in work waits for its body or for its client to leave."""
        self._held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        self._held = False
        self._transport.resume_reading()

    def resume_reading(self) -> None:
        """Read again, unless the connection is held."""
        if not self._held:
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Return whether nothing more can be written."""
        return self._closing or self._transport.is_closing()

    @property
    def lingers(self) -> bool:
        """Tell whether arriving bytes are only discarded."""
        return self._closing

    def close(self) -> None:
        """Send the written bytes, then close; first let a client that still sends read its answer."""
        if self.is_closing():
            return
        self._closing = True
        self.watch_reader()
        if not self._is_sending():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        now = self._loop.time()
        self._ends_at = now + LINGER_S
        self._lingering = self._loop.call_later(LINGER_IDLE_S, self.close_now)

    def discard(self, size: int) -> None:
        """Count bytes that arrived after the last answer; close when they are too many or come for too long."""
        if self._lingering is None:
            return
        self._discarded += size
        self._lingering.cancel()
        rest = min(LINGER_IDLE_S, self._ends_at - self._loop.time())
        if self._discarded > LINGER_BYTES or rest <= 0:
            self.close_now()
        else:
            self._lingering = self._loop.call_later(rest, self.close_now)

    def close_now(self) -> None:
        """Close without waiting for what the client still sends."""
        self._closing = True
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._transport.close()

    def abort(self) -> None:
        """Reset the connection, so that the system too forgets what was not read."""
        if (sock := self._transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def note_progress(self) -> None:
        """Restart the check of the reader: the client has taken what it was given."""
        if self._reader_check is not None:
            self._reader_check.cancel()
            self._reader_check = None
        self.watch_reader()

    def watch_reader(self) -> None:
        """Abort the connection if its client takes too little of the answer."""
        if self._reader_check is None and self._transport.get_write_buffer_size():
            self._unread = self._transport.get_write_buffer_size()
            self._reader_check = self._loop.call_later(UNREAD_CHECK_S, self._check_reader)

    def _check_reader(self) -> None:
        self._reader_check = None
        left = self._transport.get_write_buffer_size()
        if left and self._unread - left < UNREAD_MIN_BYTES:
            self.abort()
        else:
            self.watch_reader()

    def forget(self) -> None:
        """Stop all timers and let go of the connection, which is lost.

        In a cycle it would wait for the garbage collector. Thousands of connections held the loop up for 0.4 s there.
        """
        self._is_sending = bool  # which returns False
        for timer in (self._lingering, self._reader_check):
            if timer is not None:
                timer.cancel()
        self._lingering = self._reader_check = None
