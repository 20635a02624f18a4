"""Find the evidence for a class in an image. Legend: C channels, H height, W width, N patches."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from capsnet.card import CardError
from capsnet.explanation import occlusion
from capsnet.explanation.answer import choose_method, occlusion_fields, votes_fields
from capsnet.explanation.votes import Votes
from capsnet.results import Method

from ..errors import InvalidParameter, NotReady
from .models import LoadedModel
from .reconstruct import Subject, encode_file
from .service import InferenceService
from .types import Floats


@dataclass(frozen=True)
class Explanation:
    """A capsule, and the fields of the answer that say where the evidence for it lies."""

    model: LoadedModel
    label: int
    length: np.float32
    fields: dict[str, Any]


async def explain_image(
    service: InferenceService,
    data: bytes,
    *,
    model: str | None,
    preprocess: str | None,
    label: str | None,
    method: Method | None,
) -> Explanation:
    """Explain the capsule of `label`, or else the longest; by default by votes, where the model has them."""
    served = service.models.get(model)
    try:
        chosen = choose_method(served.card, method)
    except ValueError as error:
        raise InvalidParameter.of("query parameter 'method'", "'votes'", str(error)) from None
    if chosen == "votes":
        async with service.admit(2) as deadline:
            subject = await encode_file(service, served, data, preprocess, label, deadline)
            fields = await service.run_in_thread(lambda: _by_votes(served, subject), deadline)
    else:
        subject, fields = await _by_occlusion(service, served, data, preprocess, label)
    return Explanation(served, subject.label, subject.capsules.lengths[subject.label], fields)


def _by_votes(served: LoadedModel, subject: Subject) -> dict[str, Any]:
    """Run the routing on the image in this thread; raises NotReady if the routing cannot be opened."""
    if served.routing is None or served.card.routing is None:
        raise ValueError("the model has no graph of its routing")
    try:
        votes: Votes = served.routing.votes(subject.image, subject.label)
    except (CardError, OSError) as error:
        raise NotReady(str(error)) from None
    return votes_fields(subject.image, votes, served.card.routing.grid)


async def _by_occlusion(
    service: InferenceService, served: LoadedModel, data: bytes, preprocess: str | None, label: str | None
) -> tuple[Subject, dict[str, Any]]:
    """Cover the image patch by patch, all in one batch, and read the length of the capsule each time."""
    height, width = served.card.config.image_shape[1:]
    patch, stride = occlusion.sizes(height, width)
    rows, columns = (len(occlusion.corners(side, patch, stride)) for side in (height, width))
    async with service.admit(1 + rows * columns) as deadline:
        subject = await encode_file(service, served, data, preprocess, label, deadline)
        copies = occlusion.covered(subject.image, patch, stride)  # (N,C,H,W)
        encoded = await service.encode(served, list(copies), deadline)
        length = subject.capsules.lengths[subject.label]
        falls: Floats = np.array(
            [length - each.lengths[subject.label] for each in encoded], np.float32
        )  # (N,)
        fields = await service.run_in_thread(
            lambda: occlusion_fields(subject.image, falls.reshape(rows, columns), patch, stride), deadline
        )
    return subject, fields
