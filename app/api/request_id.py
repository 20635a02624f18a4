"""Choose the id of a request."""

import random
import re

VALID_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def choose_request_id(given: bytes) -> str:
    """Return the id in X-Request-ID where it is valid, else a new one of 32 hexadecimal digits."""
    if VALID_ID.fullmatch(given):
        return given.decode()
    return f"{random.getrandbits(128):032x}"  # it must be unique, not secret
