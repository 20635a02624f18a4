"""Where other devices of the local network find the service."""

import ipaddress
import socket
from pathlib import Path

import structlog

from ..settings import Settings
from .authentication import is_loopback

# Places of no network (RFC 5737, RFC 3849). The way there is the default route; nothing is sent to find it.
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

# A container's own address is of use on its machine alone, and only the operator knows that machine's.
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def log_local_address(settings: Settings) -> None:
    """Log where the playground is for others of the network, if it is open to them."""
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

    None where the service listens to this machine alone, or the address cannot be found out.
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
    """The address of this machine in its network: that of the default route, else one that its name has."""
    return next(filter(_is_reachable, (*map(_route_to, *zip(*ELSEWHERE, strict=True)), *_named())), None)


def _route_to(family: socket.AddressFamily, target: str) -> str:
    """The address that a packet to a target would have as its origin; empty without a way there."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _named() -> list[str]:
    """The addresses that the machine's own name has, as in a network without a router."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [str(address[0]) for *_, address in found]


def _is_reachable(host: str) -> bool:
    """Whether others of the network can use an address: not one of this machine, nor one that names an interface."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_link_local)
