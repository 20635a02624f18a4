"""Ask a running service what a user would: is it ready, which digit is this, and what did the network see in it?

    python3 check_service.py URL [SECONDS]

Waits up to SECONDS (0) for readiness. Standard library only: it runs beside containers and in environments that hold
nothing but the service. Exit status 0 if every answer is right.
"""

import base64
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

SEVEN = Path(__file__).resolve().parents[2] / "docs" / "images" / "seven.png"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The service is on this machine, whatever proxy the environment names for the rest of the world.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str, body: bytes | None = None) -> Any:
    """The JSON that `url` answers to a GET, or to a POST of a PNG."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "image/png"} if body else {})
    with DIRECT.open(request, timeout=10) as response:
        return json.load(response)


def wait_until_ready(base: str, seconds: float) -> Any:
    """The answer of `/health/ready`; raises the last error if it has not come in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fetch(f"{base}/health/ready")
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def check(base: str, seconds: float) -> None:
    """Raise AssertionError, KeyError or OSError at the first answer that is not what it must be."""
    print("ready:", json.dumps(wait_until_ready(base, seconds)))
    image = SEVEN.read_bytes()

    answer = fetch(f"{base}/classify", image)
    first = answer["predictions"][0]
    print(f"classify: {first['label']}, capsule length {first['length']:.3f}")
    if first["label"] != "7":
        raise AssertionError(f"the image shows a 7, not {first['label']!r}")

    answer = fetch(f"{base}/reconstruct?dim=3&delta=0.1", image)
    moved = [after - before for before, after in zip(answer["pose"], answer["perturbed_pose"], strict=True)]
    print(f"reconstruct: distance {answer['distance']:.3f}, dimension 3 moved by {moved[3]:.3f}")
    if abs(moved[3] - 0.1) > 1e-6 or any(moved[:3] + moved[4:]):
        raise AssertionError(f"dimension 3 alone must move, by 0.1; the pose moved by {moved}")
    if not base64.b64decode(answer["perturbed"]).startswith(PNG_SIGNATURE):
        raise AssertionError("the perturbed reconstruction is no PNG")


if __name__ == "__main__":
    check(sys.argv[1].rstrip("/"), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
