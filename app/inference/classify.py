"""Which class is in a picture, in which pose, and is it like anything the model knows?"""

from collections.abc import Sequence

from capsnet.png import png
from capsnet.poses import rank
from capsnet.preprocessing.pipeline import ObjectCount

from ..errors import InvalidParameter, Problem
from .models import LoadedModel
from .results import Classification
from .service import InferenceService
from .types import ClassifyOutput, DecodeJob, Floats

# What the network saw, and the drawings.
Drawn = tuple[bytes | None, tuple[bytes, ...]]
NOT_DRAWN: Drawn = (None, ())


async def classify_images(
    service: InferenceService,
    files: Sequence[bytes],
    *,
    model: str | None,
    preprocess: str | None,
    top_k: int | None,
    verify: bool,
    reconstruct: bool = False,
) -> list[Classification | Problem]:
    """Classify picture files, in order; in the place of one that cannot be read, its problem.

    With `reconstruct` each has what the network saw, and what the capsules of its ranking draw.
    """
    served = service.models.get(model)
    count = _check_top_k(served, top_k)
    async with service.admit(len(files) * (1 + count * reconstruct)) as deadline:
        counts = [ObjectCount() for _ in files]
        images = await service.load_images(served, files, preprocess, deadline, counts)
        readable = [image for image in images if not isinstance(image, Problem)]
        sights = await service.classify_images(served, readable, verify, deadline)
        drawn = [NOT_DRAWN] * len(readable)
        if reconstruct:
            drawn = await _draw(service, served, readable, sights, count, deadline)
    found = zip(sights, drawn, strict=True)
    return [
        image if isinstance(image, Problem) else _classified(served, *next(found), count, counted)
        for image, counted in zip(images, counts, strict=True)
    ]


async def _draw(
    service: InferenceService,
    served: LoadedModel,
    images: Sequence[Floats],
    sights: Sequence[ClassifyOutput],
    count: int,
    deadline: float,
) -> list[Drawn]:
    """What the network saw, images (C,H,W), and what the `count` longest capsules of each draw, as PNG files."""
    found = [sight.capsules for sight in sights]
    jobs = [DecodeJob(seen.poses, index) for seen in found for index in rank(seen.lengths, count)]
    drawings = await served.decoder.submit(jobs, deadline)
    files = await service.run_in_thread(lambda: [png(each) for each in (*images, *drawings)], deadline)
    inputs, drawn = files[: len(images)], files[len(images) :]
    return [(each, tuple(drawn[count * at : count * (at + 1)])) for at, each in enumerate(inputs)]


def _classified(
    served: LoadedModel,
    sight: ClassifyOutput,
    drawn: Drawn,
    count: int,
    counted: ObjectCount,
) -> Classification:
    ranking = rank(sight.capsules.lengths, count)
    return Classification(served, sight.capsules, ranking, sight.check, counted, *drawn)


def _check_top_k(served: LoadedModel, top_k: int | None) -> int:
    """How many predictions to give: by default as many as the model looks for."""
    classes = len(served.card.classes)
    if top_k is not None and top_k > classes:
        raise InvalidParameter.of(
            "query parameter 'top_k'", str(top_k), f"should be from 1 to {classes}, the classes of the model"
        )
    return top_k or served.card.objects
