"""Which class is in a picture, in which pose, and is it like anything the model knows?

Legend: B images, J class capsules, D pose dimensions.
"""

from collections.abc import Sequence

import numpy as np

from app import capsules
from app.errors import InvalidParameter, Problem
from app.results import Check, Classification
from app.served import Capsules, Drawing, Floats, ServedModel
from app.service import Service
from model import guard


async def classify(
    service: Service,
    files: Sequence[bytes],
    *,
    model: str | None,
    preprocess: str | None,
    top_k: int | None,
    verify: bool,
) -> list[Classification | Problem]:
    """Classify picture files, in order; in the place of one that cannot be read, what is wrong with it."""
    deadline = service.deadline()
    served = service.models.get(model)
    count = _check_top_k(served, top_k)
    images = await service.read(served, files, preprocess, deadline)
    readable = [image for image in images if not isinstance(image, Problem)]
    seen = await service.encode(served, readable, deadline)
    rankings = [capsules.rank(each.lengths, count) for each in seen]
    checks: Sequence[Check | None] = [None] * len(seen)
    if verify and seen:
        winners = [ranking[0] for ranking in rankings]
        checks = await _check(served, readable, seen, winners, deadline)
    found = map(Classification, [served] * len(seen), seen, rankings, checks)
    return [image if isinstance(image, Problem) else next(found) for image in images]


async def _check(
    served: ServedModel,
    images: Sequence[Floats],
    seen: Sequence[Capsules],
    labels: Sequence[int],
    deadline: float,
) -> list[Check]:
    """Draw one capsule of each image again and measure how far that is from the image."""
    drawings = [Drawing(each.poses, label) for each, label in zip(seen, labels, strict=True)]
    drawn = await served.decoder.submit(drawings, deadline)
    pictures = np.stack(images)
    distances = guard.distance(pictures, np.stack(drawn))  # (B,)
    lengths = np.stack([each.lengths for each in seen])
    thresholds = guard.thresholds(served.guard, pictures, lengths)  # (B,)
    return [
        Check(distance, threshold, accepted=distance <= threshold)
        for distance, threshold in zip(distances.tolist(), thresholds.tolist(), strict=True)
    ]


def _check_top_k(served: ServedModel, top_k: int | None) -> int:
    """How many predictions to give: by default as many as the model looks for."""
    classes = len(served.card.classes)
    if top_k is not None and top_k > classes:
        raise InvalidParameter.of(
            "query parameter 'top_k'", str(top_k), f"should be from 1 to {classes}, the classes of the model"
        )
    return top_k or served.card.objects
