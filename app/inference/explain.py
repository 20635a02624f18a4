"""Where in a picture is the evidence for a class? Legend: C channels, H height, W width, N patches."""

from dataclasses import dataclass

import numpy as np

from capsnet import occlusion
from capsnet.png import png

from .models import LoadedModel
from .reconstruct import look
from .service import InferenceService
from .types import Floats


@dataclass(frozen=True)
class Explanation:
    """How much a capsule shortens as patches (rows, columns) of a picture are covered; the pictures are PNG files."""

    model: LoadedModel
    label: int
    length: np.float32
    patch: int
    stride: int
    falls: Floats
    heat: Floats
    input: bytes
    map: bytes


async def explain_image(
    service: InferenceService, data: bytes, *, model: str | None, preprocess: str | None, label: str | None
) -> Explanation:
    """Cover a picture patch by patch, all in one batch, and read the capsule of `label` or else the longest."""
    served = service.models.get(model)
    height, width = served.card.config.image_shape[1:]
    patch, stride = occlusion.sizes(height, width)
    rows, columns = (len(occlusion.corners(side, patch, stride)) for side in (height, width))
    with service.admit(1 + rows * columns) as deadline:
        image, seen, index = await look(service, served, data, preprocess, label, deadline)
        copies = occlusion.covered(image, patch, stride)  # (N,C,H,W)
        read = await service.encode(served, list(copies), deadline)
        length = seen.lengths[index]
        falls = np.array([length - each.lengths[index] for each in read], np.float32)  # (N,)
        heat = occlusion.heat(falls, (height, width), patch, stride)
        input_png, map_png = await service.run_in_thread(
            lambda: [png(each) for each in (image, occlusion.overlay(image, heat))], deadline
        )
    return Explanation(
        model=served,
        label=index,
        length=length,
        patch=patch,
        stride=stride,
        falls=falls.reshape(rows, columns),
        heat=heat,
        input=input_png,
        map=map_png,
    )
