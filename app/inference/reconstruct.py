"""What did the model see in a picture, how would it look with the pose moved, and what does a bare pose look like?

Legend: C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from capsnet import guard
from capsnet.png import png, sheet
from capsnet.poses import linspace_exact, other_winners, perturb, rank, scatter_poses, sweep

from ..errors import InvalidParameter, unwrap
from .models import LoadedModel
from .results import Reconstruction, Sweep
from .service import InferenceService
from .types import Capsules, DecodeJob, Floats


class Subject(NamedTuple):
    """What was seen in a picture: the image (C,H,W), all its capsules, and the one of them that is drawn."""

    image: Floats
    seen: Capsules
    label: int


async def reconstruct_image(
    service: InferenceService,
    data: bytes,
    *,
    model: str | None,
    preprocess: str | None,
    label: str | None,
    perturbations: Sequence[tuple[int, float]],
) -> Reconstruction:
    """Draw a picture file again, as it is and with the pose moved by `(dim, delta)` pairs."""
    served = service.models.get(model)
    _check_dims(served, "dim", [dim for dim, _ in perturbations])
    with service.admit(1 + served.card.objects) as deadline:
        image, seen, index = await _look(service, served, data, preprocess, label, deadline)
        pose = seen.poses[index]
        moved = perturb(pose, perturbations)
        others = other_winners(seen.lengths, index, served.card.objects)
        drawings = [DecodeJob(seen.poses, each) for each in (index, *others)]
        drawings += _drawings(served, moved[None], [index])
        *drawn, perturbed = await served.decoder.submit(drawings, deadline)
        plain, together = drawn[0], guard.overlay(np.stack(drawn)[None])  # (1,K,C,H,W) -> (1,C,H,W)
        input_png, plain_png, perturbed_png = await service.run_in_thread(
            lambda: [png(each) for each in (image, plain, perturbed)], deadline
        )
    return Reconstruction(
        model=served,
        label=index,
        length=seen.lengths[index],
        pose=pose,
        perturbed_pose=moved,
        distance=float(guard.distance(image[None], together)[0]),
        input=input_png,
        reconstruction=plain_png,
        perturbed=perturbed_png,
    )


async def sweep_pose(
    service: InferenceService,
    data: bytes,
    *,
    model: str | None,
    preprocess: str | None,
    label: str | None,
    dims: Sequence[int] | None,
    lowest: float,
    highest: float,
    steps: int,
    as_sheet: bool,
) -> Sweep | bytes:
    """Move dimensions of the pose one at a time, each in steps from `lowest` to `highest`; without `dims` all of them.

    With `as_sheet` one PNG, a row for each dimension and a column for each step; else every frame by itself.
    """
    served = service.models.get(model)
    _check_dims(served, "dims", dims or [])
    rows = list(range(served.card.config.pose_dim)) if dims is None else list(dims)
    deltas = linspace_exact(lowest, highest, steps)
    with service.admit(1 + len(rows) * steps) as deadline:
        image, seen, index = await _look(service, served, data, preprocess, label, deadline)
        moved = sweep(seen.poses[index], rows, deltas)  # (N,D)
        drawings = [DecodeJob(seen.poses, index), *_drawings(served, moved, [index] * len(moved))]
        plain, *frames = await served.decoder.submit(drawings, deadline)
        if as_sheet:
            return await service.run_in_thread(lambda: sheet(frames, columns=steps), deadline)
        input_png, plain_png, *files = await service.run_in_thread(
            lambda: [png(each) for each in (image, plain, *frames)], deadline
        )
    return Sweep(
        model=served,
        label=index,
        length=seen.lengths[index],
        pose=seen.poses[index],
        dims=rows,
        deltas=deltas,
        input=input_png,
        reconstruction=plain_png,
        frames=[files[start : start + steps] for start in range(0, len(files), steps)],
    )


async def decode_poses(
    service: InferenceService,
    *,
    model: str | None,
    labels: Sequence[str | int],
    poses: Sequence[Sequence[float]],
) -> tuple[LoadedModel, list[bytes]]:
    """Draw capsules with these poses (N,D) and as many labels or one for all, as PNG files, in order."""
    served = service.models.get(model)
    if len(labels) == 1:
        indices = [served.find_class("field 'label'", labels[0])] * len(poses)
    else:
        indices = [served.find_class(f"field 'labels[{n}]'", label) for n, label in enumerate(labels)]
    drawings = _drawings(served, _as_poses(served, poses), indices)
    with service.admit(len(drawings)) as deadline:
        images = await served.decoder.submit(drawings, deadline)
        return served, await service.run_in_thread(lambda: [png(image) for image in images], deadline)


async def _look(
    service: InferenceService,
    served: LoadedModel,
    data: bytes,
    preprocess: str | None,
    label: str | None,
    deadline: float,
) -> Subject:
    """Encode a picture file, and choose the capsule of the class `label` or else the longest."""
    chosen = None if label is None else served.find_class("query parameter 'label'", label)
    image = unwrap((await service.load_images(served, [data], preprocess, deadline))[0])
    (seen,) = await service.encode(served, [image], deadline)
    return Subject(image, seen, rank(seen.lengths, 1)[0] if chosen is None else chosen)


def _drawings(served: LoadedModel, poses: Floats, labels: Sequence[int]) -> list[DecodeJob]:
    """Poses (N,D) of single capsules as the decoder takes them."""
    placed = scatter_poses(poses, labels, len(served.card.classes))  # (N,D) -> (N,J,D)
    return list(map(DecodeJob, placed, labels))


def _check_dims(served: LoadedModel, parameter: str, dims: Sequence[int]) -> None:
    size = served.card.config.pose_dim
    if wrong := next((dim for dim in dims if dim >= size), None):
        raise InvalidParameter.of(
            f"query parameter {parameter!r}",
            str(wrong),
            f"should be from 0 to {size - 1}, the pose has {size} dimensions",
        )


def _as_poses(served: LoadedModel, poses: Sequence[Sequence[float]]) -> Floats:
    """Poses (N,D), each checked to have the model's D."""
    size = served.card.config.pose_dim
    for index, pose in enumerate(poses):
        if len(pose) != size:
            raise InvalidParameter.of(
                f"field 'poses[{index}]'" if len(poses) > 1 else "field 'pose'",
                f"{len(pose)} numbers long",
                f"should have {size} numbers, the pose dimensions of model {served.card.name!r}",
            )
    return np.array(poses, np.float32)
