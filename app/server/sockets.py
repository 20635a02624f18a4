"""The socket on the address of the settings, had before anything is loaded: or else a sentence that says why not."""

import socket
import sys

from ..errors import StartupError
from ..settings import Settings


def own_socket(settings: Settings) -> socket.socket:
    """A socket on the address for this process alone, not yet listening.

    Raises
    ------
    StartupError
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:  # a label of a name may be too long to be asked for
        sock.close()
        raise cannot_listen(settings, error) from None
    return sock


class StartLock:
    """Keeps a second service from starting on an address until the first one listens.

    Between its look at the address and its listening, a service loads its models. The system lets another one bind the
    same address meanwhile: two services would share it, or the second one would fail in the middle of its start. The
    lock is a name without a file, which the system frees when the process ends; only Linux has these.
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
        """Let others start; they are refused while this service listens."""
        if self._name is not None:
            self._name.close()


def url(settings: Settings) -> str:
    """The address of the settings as a client writes it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def cannot_listen(settings: Settings, error: OSError | UnicodeError) -> StartupError:
    """Say in one sentence why the address cannot be had."""
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return StartupError(
        f"cannot listen on {settings.host}:{settings.port} (CAPSNET_HOST, CAPSNET_PORT): {reason}"
    )
