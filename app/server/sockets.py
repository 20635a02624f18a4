"""The socket on the address of the settings, had before anything is loaded: or else a sentence that says why not."""

import socket

from ..errors import StartupError
from ..settings import Settings


def own_socket(settings: Settings) -> socket.socket:
    """A socket on the address for this process alone, not yet listening.

    Raises
    ------
    StartupError
        If the address cannot be had.
    """
    return _bound(settings, socket.SO_REUSEADDR)


def shared_socket(settings: Settings) -> socket.socket:
    """The same, shared with other processes of the user that ask for it in this way.

    Raises
    ------
    StartupError
        If the address cannot be had.
    """
    return _bound(settings, socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def url(settings: Settings) -> str:
    """The address of the settings as a client writes it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _bound(settings: Settings, *options: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:  # a label of a name may be too long to be asked for
        sock.close()
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise StartupError(
            f"cannot listen on {settings.host}:{settings.port} (CAPSNET_HOST, CAPSNET_PORT): {reason}"
        ) from None
    return sock
