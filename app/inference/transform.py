"""Measure how pose and length change as an image is turned, slanted, scaled or moved.

Legend: C channels, H height, W width, D pose dimensions, S steps.
"""

import numpy as np

from capsnet import directions
from capsnet.png import encode_png
from capsnet.poses import linspace_exact
from capsnet.transforms import transform_steps

from .reconstruct import decode_jobs, encode_file
from .results import Transformation, TransformStep
from .service import InferenceService
from .types import DecodeJob


async def transform_image(
    service: InferenceService,
    data: bytes,
    *,
    model: str | None,
    preprocess: str | None,
    label: str | None,
    by: str,
    lowest: float,
    highest: float,
    steps: int,
) -> Transformation:
    """Transform an image file in steps from `lowest` to `highest`, and read and draw one capsule in each step.

    The capsule is that of the class `label`, or the longest in the untransformed image.
    """
    served = service.models.get(model)
    amounts = linspace_exact(lowest, highest, steps)
    async with service.admit(1 + 2 * steps) as deadline:
        image, capsules, index = await encode_file(service, served, data, preprocess, label, deadline)
        images = await service.run_in_thread(lambda: transform_steps(image, by, amounts), deadline)
        encoded = await service.encode(served, list(images), deadline)
        poses = np.stack([each.poses[index] for each in encoded])  # (S,D)
        direction, foretold = directions.predict(served.card, index, capsules.poses[index], by, amounts)
        jobs = [DecodeJob(each.poses, index) for each in encoded]
        if foretold is not None:
            jobs += decode_jobs(served, foretold, [index] * steps)
        drawn = await served.decoder.submit(jobs, deadline)
        files = await service.run_in_thread(
            lambda: [encode_png(each) for each in (*images, *drawn)], deadline
        )
    inputs, plain = files[:steps], files[steps : 2 * steps]
    others: list[bytes | None] = [*files[2 * steps :]] or [None] * steps
    return Transformation(
        model=served,
        label=index,
        length=capsules.lengths[index],
        pose=capsules.poses[index],
        property=by,
        direction=direction,
        explained=None if foretold is None else directions.explained(poses, capsules.poses[index], foretold),
        linearity=directions.linearity(poses, amounts),
        steps=[
            TransformStep(
                amount=float(amounts[step]),
                length=encoded[step].lengths[index],
                pose=poses[step],
                foretold=None if foretold is None else foretold[step],
                input=inputs[step],
                reconstruction=plain[step],
                foretold_reconstruction=others[step],
            )
            for step in range(steps)
        ],
    )
