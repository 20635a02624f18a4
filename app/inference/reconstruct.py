"""Reconstruct an image from its pose, as it is and moved, and draw bare poses.

Legend: C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from capsnet import directions, guard
from capsnet.png import encode_png, sheet
from capsnet.poses import linspace_exact, other_winners, perturb, rank, scatter_poses, sweep

from ..errors import InvalidParameter, unwrap
from .models import LoadedModel
from .results import Reconstruction, Sweep
from .service import InferenceService
from .types import Capsules, DecodeJob, Floats


class Subject(NamedTuple):
    """An encoded image (C,H,W): all its capsules, and the one of them that is drawn."""

    image: Floats
    capsules: Capsules
    label: int


async def reconstruct_image(
    service: InferenceService,
    data: bytes,
    *,
    model: str | None,
    preprocess: str | None,
    label: str | None,
    perturbations: Sequence[tuple[int, float]],
    along: Sequence[tuple[str, float]] = (),
) -> Reconstruction:
    """Draw an image file again, as it is and moved by `(dim, delta)` and `(direction, amount)` pairs."""
    served = service.models.get(model)
    _check_dims(served, "dim", [dim for dim, _ in perturbations])
    async with service.admit(1 + served.card.objects) as deadline:
        image, capsules, index = await encode_file(service, served, data, preprocess, label, deadline)
        pose = capsules.poses[index]
        with as_parameter_problem("query parameter 'direction'"):
            steered = directions.steer(served.card, index, pose, along)
        moved = perturb(steered, perturbations)
        others = other_winners(capsules.lengths, index, served.card.objects)
        jobs = [DecodeJob(capsules.poses, each) for each in (index, *others)]
        jobs += decode_jobs(served, moved[None], [index])
        *drawn, perturbed = await served.decoder.submit(jobs, deadline)
        plain, together = drawn[0], guard.overlay(np.stack(drawn)[None])  # (1,K,C,H,W) -> (1,C,H,W)
        input_png, plain_png, perturbed_png = await service.run_in_thread(
            lambda: [encode_png(each) for each in (image, plain, perturbed)], deadline
        )
    return Reconstruction(
        model=served,
        label=index,
        length=capsules.lengths[index],
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
    along: Sequence[str] = (),
    lowest: float,
    highest: float,
    steps: int,
    as_sheet: bool,
) -> Sweep | bytes:
    """Move pose dimensions one at a time, each in steps from `lowest` to `highest`, then the directions `along`.

    With neither `dims` nor directions it moves all dimensions. With `as_sheet` it returns one PNG, a row for each
    dimension and direction and a column for each step; else every frame by itself.
    """
    served = service.models.get(model)
    _check_dims(served, "dims", dims or [])
    every = [] if along else list(range(served.card.config.pose_dim))
    rows = every if dims is None else list(dims)
    deltas = linspace_exact(lowest, highest, steps)
    async with service.admit(1 + (len(rows) + len(along)) * steps) as deadline:
        image, capsules, index = await encode_file(service, served, data, preprocess, label, deadline)
        pose = capsules.poses[index]
        with as_parameter_problem("query parameter 'directions'"):
            steered, amounts = directions.sweep(served.card, index, pose, along, steps)
        moved = np.concatenate([sweep(pose, rows, deltas), steered])  # (N,D)
        jobs = [DecodeJob(capsules.poses, index), *decode_jobs(served, moved, [index] * len(moved))]
        plain, *frames = await served.decoder.submit(jobs, deadline)
        if as_sheet:
            return await service.run_in_thread(lambda: sheet(frames, columns=steps), deadline)
        input_png, plain_png, *files = await service.run_in_thread(
            lambda: [encode_png(each) for each in (image, plain, *frames)], deadline
        )
    return Sweep(
        model=served,
        label=index,
        length=capsules.lengths[index],
        pose=capsules.poses[index],
        dims=rows,
        deltas=deltas,
        directions=[
            (directions.find(served.card, index, name), amount)
            for name, amount in zip(along, amounts, strict=True)
        ],
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
    jobs = decode_jobs(served, _as_poses(served, poses), indices)
    async with service.admit(len(jobs)) as deadline:
        images = await served.decoder.submit(jobs, deadline)
        return served, await service.run_in_thread(lambda: [encode_png(image) for image in images], deadline)


async def encode_file(
    service: InferenceService,
    served: LoadedModel,
    data: bytes,
    preprocess: str | None,
    label: str | None,
    deadline: float,
) -> Subject:
    """Encode an image file, and choose the capsule of the class `label` or else the longest; raises Problem."""
    chosen = None if label is None else served.find_class("query parameter 'label'", label)
    image = unwrap((await service.load_images(served, [data], preprocess, deadline))[0])
    (capsules,) = await service.encode(served, [image], deadline)
    return Subject(image, capsules, rank(capsules.lengths, 1)[0] if chosen is None else chosen)


@contextlib.contextmanager
def as_parameter_problem(parameter: str) -> Iterator[None]:
    """Turn a DirectionError into the problem of a wrong parameter."""
    try:
        yield
    except directions.DirectionError as error:
        wrong = parameter.replace("direction", "amount") if error.is_amount else parameter
        raise InvalidParameter.of(wrong, error.value, error.allowed) from None


def decode_jobs(served: LoadedModel, poses: Floats, labels: Sequence[int]) -> list[DecodeJob]:
    """Return jobs that make the decoder draw single capsules with poses (N,D)."""
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
    """Convert poses to an array (N,D); raises InvalidParameter where one has not the model's D numbers."""
    size = served.card.config.pose_dim
    for index, pose in enumerate(poses):
        if len(pose) != size:
            raise InvalidParameter.of(
                f"field 'poses[{index}]'" if len(poses) > 1 else "field 'pose'",
                f"{len(pose)} numbers long",
                f"should have {size} numbers, the pose dimensions of model {served.card.name!r}",
            )
    return np.array(poses, np.float32)
