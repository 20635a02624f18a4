"""Whether a worker serves what its supervisor was started with: the same models, and the same keys."""

import hashlib
from collections.abc import Iterable

from capsnet.card import ModelCard

from ..api.authentication import ApiKeys

# Bytes of a fingerprint.
SIZE = 32

CHANGED = (
    "the models or the keys have changed since the service was started, and its workers must agree; "
    "start the service again, or put the files back"
)


def fingerprint(cards: Iterable[ModelCard], keys: ApiKeys) -> bytes:
    """Return a hash of models, by their cards with the hashes of their graphs, and of keys."""
    together = hashlib.sha256(keys.digest)
    for text in sorted(card.to_json() for card in cards):
        together.update(hashlib.sha256(text.encode()).digest())
    return together.digest()
