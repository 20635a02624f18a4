"""Read the digits in an image, with their places."""

import numpy as np

from capsnet.png import encode_png
from capsnet.reading import Digit, Sight, check_model, sights

from ..errors import InvalidParameter, unwrap
from .models import LoadedModel
from .results import Reading
from .service import InferenceService
from .types import DecodeJob, Floats


async def read_digits(
    service: InferenceService, data: bytes, *, model: str | None, reconstruct: bool, most: int
) -> Reading:
    """Read every digit in an image file, at most `most`; with `reconstruct`, draw each again.

    The crops of an image go through the model together, and the pieces of touching digits after them.
    """
    served = service.models.get(model)
    try:
        check_model(served.card)
    except ValueError as error:
        raise InvalidParameter.of("query parameter 'model'", served.card.name, str(error)) from None
    async with service.admit(None) as deadline:
        page = unwrap(await service.find_digits(served, data, most, deadline))
        seen = await _classify_crops(service, served, page.images, deadline)
        divided = await service.run_in_thread(lambda: page.divided(seen), deadline)
        seen += await _classify_crops(service, served, divided.images, deadline)
        lines, objects = divided.digits(seen, np.concatenate([page.images, divided.images]))
        digits = [digit for line in lines for digit in line]
        drawings = await _draw(service, served, digits, deadline) if reconstruct else []
    return Reading(served, lines, objects, drawings)


async def _classify_crops(
    service: InferenceService, served: LoadedModel, images: Floats, deadline: float
) -> list[Sight]:
    """Return what the network and the guard say of crops (N,C,H,W)."""
    if not len(images):
        return []
    seen = await service.classify_images(served, list(images), True, deadline)
    distances = np.array([each.check.distance for each in seen if each.check is not None])
    return sights(
        served.card.variants[served.precision].guard,
        images,
        np.stack([each.capsules.lengths for each in seen]),
        np.stack([each.capsules.poses for each in seen]),
        distances,
    )


async def _draw(
    service: InferenceService, served: LoadedModel, digits: list[Digit], deadline: float
) -> list[tuple[bytes, bytes]]:
    """Return the network's input for each digit and the drawing of its longest capsule, as PNG files."""
    jobs = [DecodeJob(digit.sight.poses, digit.capsule) for digit in digits]
    drawn = await served.decoder.submit(jobs, deadline)
    return await service.run_in_thread(
        lambda: [
            (encode_png(digit.image), encode_png(image)) for digit, image in zip(digits, drawn, strict=True)
        ],
        deadline,
    )
