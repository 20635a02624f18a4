"""Tensors in, tensors out: what a program asks that prepares its images itself.

Legend: B images, C channels, H height, W width, J class capsules, D pose dimensions.
"""

from collections.abc import Collection

import numpy as np

from app.served import Drawing, Floats, ServedModel
from app.service import Service
from model.contract import LENGTHS, POSES

RECONSTRUCTION = "reconstruction"
OUTPUTS = (LENGTHS, POSES, RECONSTRUCTION)


async def infer(
    service: Service, served: ServedModel, images: Floats, outputs: Collection[str]
) -> dict[str, Floats]:
    """The `outputs` for images (B,C,H,W) in [0,1]; nothing is drawn unless the reconstruction is among them.

    They are lengths (B,J), poses (B,J,D), and the reconstruction (B,C,H,W) from the longest capsule of each image.
    """
    with service.admitted(len(images)) as deadline:
        seen = await service.encode(served, list(images), deadline)
        lengths, poses = map(np.stack, zip(*seen, strict=True))
        tensors = {LENGTHS: lengths, POSES: poses}
        if RECONSTRUCTION in outputs:
            longest = lengths.argmax(axis=1)  # (B,J) -> (B,)
            drawn = await served.decoder.submit(list(map(Drawing, poses, longest)), deadline)
            tensors[RECONSTRUCTION] = np.stack(drawn)
    return {name: tensors[name] for name in outputs}
