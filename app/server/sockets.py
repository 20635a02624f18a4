"""Bind the address of the settings before any model is loaded, or say in one sentence why that fails.

Two services that were started together shared a port without a word (docs/log/security.md, 10). The cost was not
measured apart: it is one lock at the start. It goes when uvicorn binds before it loads the application.
"""

import socket
import sys

from ..errors import StartupError
from ..settings import Settings


def bind_exclusive(settings: Settings) -> socket.socket:
    """Return a socket on the address for this process alone, not yet listening.

    Raises
    ------
    StartupError
        If the address is not available.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:  # a label of a host name may be too long for IDNA
        sock.close()
        raise cannot_listen(settings, error) from None
    return sock


class StartLock:
    """Keeps a second service from starting on an address until the first one listens.

    A service binds the address, loads its models, and then listens. Meanwhile the system lets another service bind the
    same address: both would share it, or the second would fail late in its start. The lock is an abstract socket, which
    the system frees when the process ends; only Linux has these.
    """

    def __init__(self, settings: Settings) -> None:
        self._name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) if sys.platform == "linux" else None
        if self._name is not None:
            try:
                self._name.bind(f"\0capsnet-start-{settings.host}-{settings.port}"[:100])
            except OSError:
                self._name.close()
                raise StartupError(
                    f"cannot listen on {settings.host}:{settings.port} (CAPSNET_HOST, CAPSNET_PORT): "
                    "another service is starting there"
                ) from None

    def close(self) -> None:
        """Let others start; the system refuses them while this service listens."""
        if self._name is not None:
            self._name.close()


def url(settings: Settings) -> str:
    """Return the address of the settings as a client writes it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def cannot_listen(settings: Settings, error: OSError | UnicodeError) -> StartupError:
    """Return an error that says in one sentence why the address is not available."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return StartupError(
        f"cannot listen on {settings.host}:{settings.port} (CAPSNET_HOST, CAPSNET_PORT): {reason}"
    )
