"""Classify images: class, pose, and whether the guard accepts them."""

from collections.abc import Sequence

from capsnet.png import encode_png
from capsnet.poses import rank
from capsnet.preprocessing.pipeline import ObjectCount

from ..errors import InvalidParameter, Problem
from .models import LoadedModel
from .results import Classification
from .service import InferenceService
from .types import ClassifyOutput, DecodeJob, Floats

# The network's input, and the drawings, as PNG files.
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
    """Classify image files, in order; an unreadable one has its problem in its place.

    With `reconstruct` each has the network's input, and what the capsules of its ranking draw.
    """
    served = service.models.get(model)
    count = _check_top_k(served, top_k)
    async with service.admit(len(files) * (1 + count * reconstruct)) as deadline:
        counts = [ObjectCount() for _ in files]
        images = await service.load_images(served, files, preprocess, deadline, counts)
        readable = [image for image in images if not isinstance(image, Problem)]
        outputs = await service.classify_images(served, readable, verify, deadline)
        drawn = [NOT_DRAWN] * len(readable)
        if reconstruct:
            drawn = await _draw(service, served, readable, outputs, count, deadline)
    results = zip(outputs, drawn, strict=True)
    return [
        image if isinstance(image, Problem) else _classified(served, *next(results), count, counted)
        for image, counted in zip(images, counts, strict=True)
    ]


async def _draw(
    service: InferenceService,
    served: LoadedModel,
    images: Sequence[Floats],
    outputs: Sequence[ClassifyOutput],
    count: int,
    deadline: float,
) -> list[Drawn]:
    """Return the inputs (C,H,W) and what the `count` longest capsules of each draw, as PNG files."""
    capsules = [output.capsules for output in outputs]
    jobs = [DecodeJob(each.poses, index) for each in capsules for index in rank(each.lengths, count)]
    drawings = await served.decoder.submit(jobs, deadline)
    files = await service.run_in_thread(lambda: [encode_png(each) for each in (*images, *drawings)], deadline)
    inputs, drawn = files[: len(images)], files[len(images) :]
    return [(each, tuple(drawn[count * at : count * (at + 1)])) for at, each in enumerate(inputs)]


def _classified(
    served: LoadedModel,
    output: ClassifyOutput,
    drawn: Drawn,
    count: int,
    counted: ObjectCount,
) -> Classification:
    ranking = rank(output.capsules.lengths, count)
    return Classification(served, output.capsules, ranking, output.check, counted, *drawn)


def _check_top_k(served: LoadedModel, top_k: int | None) -> int:
    """Return how many predictions to give, by default as many as the model looks for; raises InvalidParameter."""
    classes = len(served.card.classes)
    if top_k is not None and top_k > classes:
        raise InvalidParameter.of(
            "query parameter 'top_k'", str(top_k), f"should be from 1 to {classes}, the classes of the model"
        )
    return top_k or served.card.objects
