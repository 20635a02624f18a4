"""Compare what a worker serves with what its supervisor was started with: the models and the keys.

Without it a replaced worker could serve changed models beside the old ones (docs/log/security.md, 11). It costs 14 ms
at the start of a worker with six models (docs/log/serving.md, measured apart), and goes with the supervisor.
"""

import hashlib
from collections.abc import Mapping

from ..api.authentication import ApiKeys

# Bytes of a fingerprint: half for the keys, half for the models.
SIZE = 64

CHANGED = (
    "the models or the keys have changed since the service was started, and its workers must agree; "
    "start the service again, or put the files back"
)


def fingerprint(served: Mapping[str, str], *keys: ApiKeys) -> bytes:
    """Return a hash of all keys, and one of all models, whose hashes `served` has by name."""
    models = repr(sorted(served.items())).encode()
    return b"".join(
        hashlib.sha256(part).digest() for part in (b"".join(each.digest for each in keys), models)
    )


def agrees(found: bytes, expected: bytes, *, with_models: bool) -> bool:
    """Tell whether two fingerprints agree in their keys, and in their models where these count."""
    return found == expected if with_models else found[: SIZE // 2] == expected[: SIZE // 2]
