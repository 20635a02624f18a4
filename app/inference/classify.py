"""Which class is in a picture, in which pose, and is it like anything the model knows?"""

from collections.abc import Sequence

from capsnet.poses import rank
from capsnet.preprocessing.pipeline import ObjectCount

from ..errors import InvalidParameter, Problem
from .models import LoadedModel
from .results import Classification
from .service import InferenceService
from .types import ClassifyOutput


async def classify_images(
    service: InferenceService,
    files: Sequence[bytes],
    *,
    model: str | None,
    preprocess: str | None,
    top_k: int | None,
    verify: bool,
) -> list[Classification | Problem]:
    """Classify picture files, in order; in the place of one that cannot be read, its problem."""
    served = service.models.get(model)
    count = _check_top_k(served, top_k)
    with service.admit(len(files)) as deadline:
        counts = [ObjectCount() for _ in files]
        images = await service.load_images(served, files, preprocess, deadline, counts)
        readable = [image for image in images if not isinstance(image, Problem)]
        sights = await service.classify_images(served, readable, verify, deadline)
    found = iter(sights)
    return [
        image if isinstance(image, Problem) else _classified(served, next(found), count, counted)
        for image, counted in zip(images, counts, strict=True)
    ]


def _classified(
    served: LoadedModel, sight: ClassifyOutput, count: int, counted: ObjectCount
) -> Classification:
    return Classification(served, sight.capsules, rank(sight.capsules.lengths, count), sight.check, counted)


def _check_top_k(served: LoadedModel, top_k: int | None) -> int:
    """How many predictions to give: by default as many as the model looks for."""
    classes = len(served.card.classes)
    if top_k is not None and top_k > classes:
        raise InvalidParameter.of(
            "query parameter 'top_k'", str(top_k), f"should be from 1 to {classes}, the classes of the model"
        )
    return top_k or served.card.objects
