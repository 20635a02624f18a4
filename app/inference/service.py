"""The models behind their queues, and the steps that all use cases share.

    bytes -> image (C,H,W) -> lengths (J,), poses (J,D) -> drawings (C,H,W)

The use cases, such as `classify` and `reconstruct`, are in modules of their own beside this one. A step takes a list,
which its queue admits whole or not at all. Legend: C channels, H height, W width, J class capsules, D pose dimensions.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from capsnet.card import ModelCard
from capsnet.config import are_digits
from capsnet.preprocessing.pipeline import ImageTooLarge, NotAnImage, ObjectCount, decode, is_cheap_to_decode
from capsnet.reading import Page, find_digits

from ..errors import ContentTooLarge, InvalidImage, NotReady, Problem, first_line
from ..settings import Settings
from .batching.admission import Admission, Permit
from .batching.batcher import Batcher, Queue
from .decode_memory import DecodeMemory
from .model_repository import ModelFiles, discover_models
from .models import LoadedModel, ModelRegistry, Observers, choose_default, load_model
from .runtime.device import choose_device, cores_of_one
from .types import Capsules, ClassifyJob, ClassifyOutput, Floats

Answer = TypeVar("Answer")
Decoded = TypeVar("Decoded")
Jobs = Queue[Callable[[], Any], Any]

log = structlog.get_logger(__name__)

# More threads for image files would only compete for the GIL.
MOST_THREADS = 8

# Pixels of a phone's photograph, which any of the threads may decode. Larger images wait for one thread of their own:
# the memory in use is bounded, and a queue of them does not delay the small ones.
SMALL_IMAGE_PIXELS = 12_500_000

# Seconds that a batch may block the event loop, where a process has one core.
INLINE_BUDGET_S = 0.005

# Image files that are cheap to decode and are read in one job.
CHEAP_FILES_PER_JOB = 32


class InferenceService:
    """The models behind their queues, and the steps of a request."""

    def __init__(
        self, settings: Settings, models: ModelRegistry, slots: Batcher, observers: Observers
    ) -> None:
        self._settings = settings
        self._observers = observers
        # A batch in each slot, and another one that forms meanwhile.
        working = settings.max_batch * (models.device.slots + 1)
        longest_wait = min(settings.max_wait, settings.request_timeout)
        self.admission = Admission(working, settings.max_queue, longest_wait, observers("", "admission"))
        self._slots = slots
        self.models = models
        # Reading and writing image files: jobs of any kind, bounded like the queues of the graphs.
        self._threads = Batcher(
            min(cores_of_one(settings.workers), MOST_THREADS), settings.max_queue, "images"
        )
        self._jobs: Jobs = self._threads.queue(_run_all, 1, observers("", "images"))
        self.decode_memory = DecodeMemory(settings.decode_memory, settings.max_wait)
        self._large_thread = Batcher(1, settings.max_queue, "large images")
        self._large_jobs: Jobs = self._large_thread.queue(_run_all, 1, observers("", "large_images"))

    @classmethod
    def load(
        cls,
        settings: Settings,
        observers: Observers = lambda model, stage: (),
        without: Collection[str] = (),
    ) -> "InferenceService":
        """Load every model in the settings' folder except those `without`. `observers` observe the queues.

        Raises
        ------
        StartupError
            If a model is broken, or the device cannot be had.
        """
        stored = {
            name: model for name, model in discover_models(settings.models).items() if name not in without
        }
        default = choose_default(stored, settings)
        device = choose_device(settings, stored[default].decoder)
        slots = Batcher(device.slots, settings.max_queue, "slot", 0.0 if device.is_gpu else INLINE_BUDGET_S)
        served = {
            name: load_model(model, device, slots, settings, observers) for name, model in stored.items()
        }
        for model in served.values():
            _log_loaded(model)
        return cls(settings, ModelRegistry(served, default, device), slots, observers)

    async def serve(self, stored: ModelFiles) -> None:
        """Serve a model from now on, in place of the one of its name; an equal card changes nothing.

        Requests under way keep the model that they began with. Raises ModelError.
        """
        name = stored.card.name
        if any(model.card == stored.card for model in self.models if model.card.name == name):
            return
        loaded = await asyncio.to_thread(
            load_model, stored, self.models.device, self._slots, self._settings, self._observers
        )
        _log_loaded(loaded)
        if before := self.models.put(loaded):
            before.retire()

    def unload(self, name: str) -> None:
        """Stop serving a model; raises UnknownModel."""
        self.models.remove(name).retire()
        log.info("model unloaded", model=name)

    async def close(self) -> None:
        """Refuse new work and finish what was accepted."""
        await self._threads.close()
        await self._large_thread.close()
        await self._slots.close()

    async def check_health(self, models: Iterable[LoadedModel]) -> None:
        """Check that these models run; a model that failed its last batches is tried on a blank image.

        No client's image can make this fail, and a model that gets no more requests can recover.

        Raises
        ------
        NotReady
            If a model fails; says which and why.
        """
        if self._slots.is_stalled:
            raise NotReady(f"a batch on {self.models.device.provider} does not come back")
        for served in [model for model in models if model.fails]:
            try:
                await served.probe(self._deadline())
            except Problem:
                raise
            except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
                reason = first_line(error)
                raise NotReady(f"model {served.card.name!r} fails on {served.provider}: {reason}") from None

    def admit(self, items: int | None) -> Permit:
        """Return a permit for a request of so many items, None for any number; it gives its deadline."""
        return Permit(self.admission, items, self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.request_timeout

    async def run_in_thread(self, job: Callable[[], Answer], deadline: float) -> Answer:
        """Run a job in one of the threads for image files; raises the errors of `submit`."""
        answers: list[Answer] = await self._jobs.submit([job], deadline)
        return answers[0]

    async def load_images(
        self,
        served: LoadedModel,
        files: Sequence[bytes],
        preprocess: str | None,
        deadline: float,
        counts: Sequence[ObjectCount] | None = None,
    ) -> list[Floats | Problem]:
        """Load image files as the network's arrays (C,H,W); an unreadable one has its problem in its place.

        `counts`, one for each file, get the number of separate objects.
        """
        counts = counts or [ObjectCount() for _ in files]
        limit = self._settings.max_pixels
        cheap = [index for index, data in enumerate(files) if is_cheap_to_decode(data, served.card.input)]
        if len(files) == len(cheap) == 1:
            return [self._read(files[0], counts[0], served.card, preprocess, limit)]
        # A job in a thread costs more than reading a few of these files.
        groups = [
            cheap[start : start + CHEAP_FILES_PER_JOB] for start in range(0, len(cheap), CHEAP_FILES_PER_JOB)
        ]
        groups += [[index] for index in sorted({*range(len(files))} - {*cheap})]
        read = partial(self._read, card=served.card, preprocess=preprocess)
        jobs = [
            partial(
                _read_all,
                [(files[index], counts[index]) for index in group],
                read,
                min(SMALL_IMAGE_PIXELS, limit),
            )
            for group in groups
        ]
        images: dict[int, Floats | Problem] = {}
        for group, found in zip(groups, await self._jobs.submit(jobs, deadline), strict=True):
            images.update(zip(group, found, strict=True))
        # Their headers tell this before anything is decoded.
        large = [index for index, image in images.items() if isinstance(image, ContentTooLarge)]
        again = [
            partial(read, files[index], counts[index], max_pixels=limit, may_wait=True) for index in large
        ]
        images.update(zip(large, await self._large_jobs.submit(again, deadline), strict=True))
        return [images[index] for index in range(len(files))]

    async def find_digits(
        self, served: LoadedModel, data: bytes, most: int, deadline: float
    ) -> Page | Problem:
        """Find at most `most` digits in an image file, or return the problem with it."""
        limit = self._settings.max_pixels
        found = partial(self._find, data, served.card, most)
        page = await self.run_in_thread(partial(found, min(SMALL_IMAGE_PIXELS, limit)), deadline)
        if isinstance(page, ContentTooLarge):
            (page,) = await self._large_jobs.submit([partial(found, limit, may_wait=True)], deadline)
        return page

    def _read(
        self,
        data: bytes,
        counted: ObjectCount,
        card: ModelCard,
        preprocess: str | None,
        max_pixels: int,
        *,
        may_wait: bool = False,
    ) -> Floats | Problem:
        """Load an image file as the network's array (C,H,W), or return the problem with it."""
        return self._decoded(
            partial(
                decode,
                data,
                card.input,
                preprocess=preprocess,
                max_pixels=max_pixels,
                objects=card.objects,
                counted=counted,
                digits=are_digits(card.classes),
            ),
            may_wait=may_wait,
        )

    def _find(
        self, data: bytes, card: ModelCard, most: int, max_pixels: int, *, may_wait: bool = False
    ) -> Page | Problem:
        """Find the digits in an image file, or return the problem with it."""
        return self._decoded(
            partial(find_digits, data, card.input, most=most, max_pixels=max_pixels), may_wait=may_wait
        )

    def _decoded(self, job: Callable[..., Decoded], *, may_wait: bool) -> Decoded | Problem:
        """Run a job that decodes an image, within the memory budget for that.

        Where it may not wait for memory and none is free, it returns `ContentTooLarge`, as for too many pixels.
        """
        try:
            with self.decode_memory.claim(may_wait) as claim:
                return job(claim=claim)
        except ImageTooLarge as error:
            return ContentTooLarge(str(error))
        except NotAnImage as error:
            return InvalidImage(str(error))
        except Problem as error:
            return error.with_traceback(None)  # which has this frame, and that cycle would keep the image

    async def classify_images(
        self, served: LoadedModel, images: Sequence[Floats], verify: bool, deadline: float
    ) -> list[ClassifyOutput]:
        """Encode images (C,H,W) and, with `verify`, measure how far the reconstruction is from each."""
        jobs = [ClassifyJob(image, verify) for image in images]
        outputs = await served.classify_queue.submit(jobs, deadline)
        _check_finite(served, [output.capsules for output in outputs])
        return outputs

    async def encode(self, served: LoadedModel, images: Sequence[Floats], deadline: float) -> list[Capsules]:
        """Encode images (C,H,W) to their capsules; raises the errors of `submit`."""
        capsules = await served.encoder.submit(images, deadline)
        _check_finite(served, capsules)
        return capsules


def _log_loaded(model: LoadedModel) -> None:
    log.info(
        "model loaded", model=model.card.name, version=model.card.version, precision=model.precision,
        precision_reason=model.precision_reason, provider=model.provider,
    )  # fmt: skip


def _run_all(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return [job() for job in jobs]


def _read_all(
    files: Sequence[tuple[bytes, ObjectCount]], read: Callable[..., Floats | Problem], max_pixels: int
) -> list[Floats | Problem]:
    return [read(data, counted, max_pixels=max_pixels) for data, counted in files]


def _check_finite(served: LoadedModel, capsules: Sequence[Capsules]) -> None:
    if not all(each.are_finite for each in capsules):
        raise FloatingPointError(f"model {served.card.name!r} gave lengths that are not finite")
