"""Find the address under which other devices of the local network reach the service."""

import ipaddress
import socket
from pathlib import Path

import structlog

from ..settings import Settings
from .authentication import is_loopback

# Addresses of no network (RFC 5737, RFC 3849). The route to them is the default route; nothing is sent to find it.
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

# A container's own address works on its machine alone, and only the operator knows that machine's address.
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def log_local_address(settings: Settings) -> None:
    """Log the address of the playground for other devices, if the service is open to them."""
    if address := local_url(settings):
        hint = (
            {"hint": "that of this container; CAPSNET_PUBLIC_URL names another"}
            if _is_guess(settings)
            else {}
        )
        structlog.get_logger(__name__).info("open to the local network", address=address, **hint)


def _is_guess(settings: Settings) -> bool:
    return not settings.public_url and any(mark.exists() for mark in CONTAINER_MARKS)


def local_url(settings: Settings) -> str | None:
    """Return the address of the playground for other devices, ending with a slash.

    None where the service listens to this machine alone, or the address is unknown.
    """
    if settings.public_url:
        return f"{settings.public_url.rstrip('/')}/"
    if is_loopback(settings.host):
        return None
    host = _own_address() if _is_every_interface(settings.host) else settings.host
    if host is None:
        return None
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/"


def _is_every_interface(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _own_address() -> str | None:
    """Return the address of this machine in its network: that of the default route, else one that its name has."""
    return next(filter(_is_reachable, (*map(_route_to, *zip(*ELSEWHERE, strict=True)), *_named())), None)


def _route_to(family: socket.AddressFamily, target: str) -> str:
    """Return the source address of a packet to a target; empty without a route."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _named() -> list[str]:
    """Return the addresses of the machine's own name, as in a network without a router."""
    try:
        addresses = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [str(address[0]) for *_, address in addresses]


def _is_reachable(host: str) -> bool:
    """Tell whether other devices can use an address: it is neither of this machine alone nor of no machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_link_local)
