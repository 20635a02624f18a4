"""Run a model on image arrays that a program has prepared itself.

Legend: B images, C channels, H height, W width, J class capsules, D pose dimensions.
"""

from collections.abc import Collection

import numpy as np

from capsnet import guard
from capsnet.card import LENGTHS, POSES

from .models import LoadedModel
from .service import InferenceService
from .types import DecodeJob, Floats

RECONSTRUCTION = "reconstruction"
OUTPUTS = (LENGTHS, POSES, RECONSTRUCTION)


async def run_tensors(
    service: InferenceService, served: LoadedModel, images: Floats, outputs: Collection[str]
) -> dict[str, Floats]:
    """Return the `outputs` for images (B,C,H,W) in [0,1]; only a requested reconstruction is drawn.

    They are lengths (B,J), poses (B,J,D), and the reconstruction (B,C,H,W) from the longest capsule of each image, or
    from the K longest, laid over each other, where the model looks for K objects.
    """
    async with service.admit(len(images)) as deadline:
        capsules = await service.encode(served, list(images), deadline)
        lengths, poses = map(np.stack, zip(*capsules, strict=True))
        tensors = {LENGTHS: lengths, POSES: poses}
        if RECONSTRUCTION in outputs:
            longest = guard.top_classes(lengths, served.card.objects)  # (B,J) -> (B,K)
            # One capsule of every image at a time: as many items as were admitted.
            drawn = [
                np.stack(await served.decoder.submit(list(map(DecodeJob, poses, labels)), deadline))
                for labels in longest.T.tolist()
            ]  # K of (B,C,H,W)
            tensors[RECONSTRUCTION] = guard.overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)
    return {name: tensors[name] for name in outputs}
