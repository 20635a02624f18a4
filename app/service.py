"""The use cases: each joins preprocessing, the queues before the graphs, the capsules' arithmetic and the guard.

    bytes -> picture (C,H,W) -> lengths (J,), poses (J,D) -> images (C,H,W) -> distance

Legend: C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import structlog

from app import capsules
from app.batcher import Batcher, Queue
from app.device import choose_device, cores_of_one
from app.errors import InvalidParameter, NotAPicture, NotReady, Problem, QueueFull, TooLarge
from app.pictures import png
from app.results import Check, Classification, Reconstruction
from app.served import (
    Capsules,
    Drawing,
    Floats,
    Look,
    Models,
    Observers,
    ServedModel,
    choose_default,
    serve_model,
)
from app.settings import Settings
from app.store import find_models
from model import guard
from model.preprocess import ImageTooLarge, NotAnImage, decode, is_quick

Answer = TypeVar("Answer")
Jobs = Queue[Callable[[], Any], Any]

log = structlog.get_logger("app.service")

# More threads than these for picture files would only hand Python's lock round more often.
MOST_THREADS = 8

# Pixels that a telephone's photograph has, and that any of the threads may decode at any time. Larger pictures wait for
# one thread of their own: the memory in use is bounded, and a queue of them does not keep the small ones waiting.
SMALL_PICTURE = 12_500_000


class Service:
    """The models behind their queues, and what can be asked of them."""

    def __init__(self, settings: Settings, models: Models, slots: Batcher, observers: Observers) -> None:
        self._settings = settings
        self._held = 0  # items of requests that were admitted and are not answered
        self._slots = slots
        self.models = models
        # Reading and writing picture files: work of any kind, bounded like the graphs' queues.
        self._threads = Batcher(
            min(cores_of_one(settings.workers), MOST_THREADS), settings.max_queue, "pictures"
        )
        self._jobs: Jobs = self._threads.queue(_run_all, 1, observers("", "pictures"))
        self._large_thread = Batcher(1, settings.max_queue, "large pictures")
        self._large_jobs: Jobs = self._large_thread.queue(_run_all, 1, observers("", "large_pictures"))

    @classmethod
    def load(cls, settings: Settings, observers: Observers = lambda model, stage: ()) -> "Service":
        """Load every model in the settings' folder. `observers` hear what each queue does.

        Raises
        ------
        StartError
            If a model is broken, or the device cannot be had.
        """
        stored = find_models(settings.models)
        default = choose_default(stored, settings)
        device = choose_device(settings, stored[default].decoder)
        slots = Batcher(device.slots, settings.max_queue, "slot")
        served = {
            name: serve_model(model, device, slots, settings, observers) for name, model in stored.items()
        }
        for name, model in served.items():
            log.info(
                "model loaded", model=name, version=model.card.version, precision=model.precision,
                provider=model.provider,
            )  # fmt: skip
        return cls(settings, Models(served, default, device), slots, observers)

    async def close(self) -> None:
        """Refuse new work and finish what was accepted."""
        await self._threads.close()
        await self._large_thread.close()
        await self._slots.close()

    async def check(self) -> None:
        """See that the models run; one that has failed its last batches is tried on a blank image.

        A picture cannot make a blank image fail, and a model that nobody asks any more can recover.

        Raises
        ------
        NotReady
            If a model fails; says which and why.
        """
        if self._slots.is_stalled:
            raise NotReady(f"a batch on {self.models.device.provider} does not come back")
        for served in [model for model in self.models if model.fails]:
            try:
                await served.try_out(self._deadline())
            except Problem:
                raise
            except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
                reason = (str(error).strip() or repr(error)).splitlines()[0]
                raise NotReady(f"model {served.card.name!r} fails on {served.provider}: {reason}") from None

    async def classify(
        self, data: bytes, *, model: str | None, preprocess: str | None, top_k: int | None, verify: bool
    ) -> Classification:
        """Which class is in a picture file, in which pose, and is it like anything the model knows?"""
        served = self.models.get(model)
        count = _check_top_k(served, top_k)
        with self._admitted(1) as deadline:
            image = await self._read(served, data, preprocess, deadline)
            (sight,) = await served.looks.submit([Look(image, verify)], deadline)
        _check_finite(served, sight.capsules)
        ranking = capsules.rank(sight.capsules.lengths, count)
        check = None if sight.distance is None else _judge(served, image, sight.capsules, sight.distance)
        return Classification(served, sight.capsules, ranking, check)

    async def reconstruct(
        self,
        data: bytes,
        *,
        model: str | None,
        preprocess: str | None,
        label: str | None,
        perturbations: Sequence[tuple[int, float]],
    ) -> Reconstruction:
        """What did the model see in a picture file, and how would it look with the pose moved?"""
        served = self.models.get(model)
        _check_dims(served, [dim for dim, _ in perturbations])
        chosen = None if label is None else served.find_class("query parameter 'label'", label)
        with self._admitted(2) as deadline:
            image = await self._read(served, data, preprocess, deadline)
            seen = await self._encode(served, image, deadline)
            index = capsules.rank(seen.lengths, 1)[0] if chosen is None else chosen
            pose = seen.poses[index]
            moved = capsules.perturb(pose, perturbations)
            drawings = [
                Drawing(seen.poses, index),
                Drawing(capsules.place(moved, index, len(seen.lengths)), index),
            ]
            plain, perturbed = await served.decoder.submit(drawings, deadline)
            pictures = (image, plain, perturbed)
            input_png, plain_png, perturbed_png = await self._work(
                lambda: [png(each) for each in pictures], deadline
            )
        return Reconstruction(
            model=served,
            label=index,
            length=seen.lengths[index],
            pose=pose,
            perturbed_pose=moved,
            distance=float(guard.distance(image[None], plain[None])[0]),
            input=input_png,
            reconstruction=plain_png,
            perturbed=perturbed_png,
        )

    async def decode(
        self, *, model: str | None, labels: Sequence[str | int], poses: Sequence[Sequence[float]]
    ) -> tuple[ServedModel, list[bytes]]:
        """What do capsules with these labels and poses (N,D) look like? As PNG files, in order."""
        served = self.models.get(model)
        indices = [served.find_class("field 'label'", label) for label in labels]
        rows = _as_poses(served, poses)
        drawings = [
            Drawing(capsules.place(pose, index, len(served.card.classes)), index)
            for pose, index in zip(rows, indices, strict=True)
        ]
        with self._admitted(len(drawings)) as deadline:
            images = await served.decoder.submit(drawings, deadline)
            return served, await self._work(lambda: [png(image) for image in images], deadline)

    @contextlib.contextmanager
    def _admitted(self, items: int) -> Iterator[float]:
        """A place for a request of so many items until it is answered; gives its deadline.

        The one door of all use cases. A request refused later, on its way from one queue to the next, would have been
        computed in part and for nothing; under load that would be the fate of most.

        Raises
        ------
        QueueFull, TooLarge
            If there is no room for all of them.
        """
        most = self._settings.max_queue
        if items > most:
            raise TooLarge(f"the request holds {items} items; at most {most} are taken at a time")
        if self._held + items > most:
            raise QueueFull(f"{self._held} items are waiting or in work, of at most {most}")
        self._held += items
        try:
            yield self._deadline()
        finally:
            self._held -= items

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.request_timeout

    async def _work(self, job: Callable[[], Answer], deadline: float, queue: Jobs | None = None) -> Answer:
        """Run a job in one of the threads for picture files."""
        answers: list[Answer] = await (queue or self._jobs).submit([job], deadline)
        return answers[0]

    async def _read(
        self, served: ServedModel, data: bytes, preprocess: str | None, deadline: float
    ) -> Floats:
        """A picture file to the array (C,H,W) that the network takes."""
        read = partial(decode, data, served.card.input, preprocess=preprocess)
        limit = self._settings.max_pixels
        try:
            if is_quick(data, served.card.input):
                return read(max_pixels=limit)
            with contextlib.suppress(ImageTooLarge):  # known from its header, before anything is decoded
                return await self._work(partial(read, max_pixels=min(SMALL_PICTURE, limit)), deadline)
            return await self._work(partial(read, max_pixels=limit), deadline, self._large_jobs)
        except ImageTooLarge as error:
            raise TooLarge(str(error)) from None
        except NotAnImage as error:
            raise NotAPicture(str(error)) from None

    async def _encode(self, served: ServedModel, image: Floats, deadline: float) -> Capsules:
        (seen,) = await served.encoder.submit([image], deadline)
        _check_finite(served, seen)
        return seen


def _run_all(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return [job() for job in jobs]


def _check_finite(served: ServedModel, seen: Capsules) -> None:
    if not math.isfinite(seen.lengths.max()):  # a NaN is the largest of all
        raise FloatingPointError(f"model {served.card.name!r} gave lengths that are not finite")


def _judge(served: ServedModel, image: Floats, seen: Capsules, distance: float) -> Check:
    threshold = float(guard.thresholds(served.guard, image[None], seen.lengths[None])[0])
    return Check(distance, threshold, accepted=distance <= threshold)


def _check_top_k(served: ServedModel, top_k: int | None) -> int:
    """How many predictions to give: by default as many as the model looks for."""
    classes = len(served.card.classes)
    if top_k is not None and top_k > classes:
        raise InvalidParameter.of(
            "query parameter 'top_k'", str(top_k), f"should be from 1 to {classes}, the classes of the model"
        )
    return top_k or served.card.objects


def _check_dims(served: ServedModel, dims: Sequence[int]) -> None:
    size = served.card.config.pose_dim
    for dim in dims:
        if dim >= size:
            raise InvalidParameter.of(
                "query parameter 'dim'",
                str(dim),
                f"should be from 0 to {size - 1}, the pose has {size} dimensions",
            )


def _as_poses(served: ServedModel, poses: Sequence[Sequence[float]]) -> Floats:
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
