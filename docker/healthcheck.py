"""Exit 0 if the service in this container says that it is ready, and 1 if not. The image needs no curl for that."""

import http.client
import os
import sys


def is_ready() -> bool:
    """Ask this container's own service; whatever goes wrong on the way means "not ready"."""
    port = int(os.environ.get("CAPSNET_PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready() else 1)
