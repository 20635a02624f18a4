"""The models behind their queues, and the steps of which every use case is made.

    bytes -> picture (C,H,W) -> lengths (J,), poses (J,D) -> images (C,H,W)

The use cases themselves: `app.classification`, `app.drawing`, `app.inference`. What a step takes is a list, admitted to
its queue whole or not at all. Legend: C channels, H height, W width, J class capsules, D pose dimensions.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import structlog

from app.batcher import Batcher, Queue
from app.device import available_cores, choose_device
from app.errors import NotAPicture, NotReady, Problem, TooLarge
from app.served import Capsules, Floats, Models, ServedModel, choose_default, serve_model
from app.settings import Settings
from app.store import find_models
from model.contract import InputSpec
from model.preprocess import ImageTooLarge, NotAnImage, decode

Answer = TypeVar("Answer")
Jobs = Queue[Callable[[], Any], Any]

log = structlog.get_logger("app.service")

# More threads than these for picture files would only hand Python's lock round more often.
MOST_THREADS = 8

# Pixels that a telephone's photograph has, and that any of the threads may decode at any time. Larger pictures wait for
# one thread of their own: the memory in use is bounded, and a queue of them does not keep the small ones waiting.
SMALL_PICTURE = 12_500_000


class Service:
    """The models behind their queues, and the steps on the way through them."""

    def __init__(self, settings: Settings, models: Models, slots: Batcher) -> None:
        self._settings = settings
        self._slots = slots
        self.models = models
        # Reading and writing picture files: work of any kind, bounded like the graphs' queues.
        self._threads = Batcher(min(available_cores(), MOST_THREADS), settings.max_queue, "pictures")
        self._jobs: Jobs = self._threads.queue(_run_all, max_batch=1)
        self._large_thread = Batcher(1, settings.max_queue, "large pictures")
        self._large_jobs: Jobs = self._large_thread.queue(_run_all, max_batch=1)

    @classmethod
    def load(cls, settings: Settings) -> "Service":
        """Load every model in the settings' folder.

        Raises
        ------
        StartError
            If a model is broken, or the device cannot be had.
        """
        stored = find_models(settings.models)
        default = choose_default(stored, settings)
        device = choose_device(settings.device, settings.require_gpu, stored[default].decoder)
        slots = Batcher(device.slots, settings.max_queue, "slot")
        served = {name: serve_model(model, device, slots, settings) for name, model in stored.items()}
        for name, model in served.items():
            log.info(
                "model loaded", model=name, version=model.card.version, precision=model.precision,
                provider=model.provider,
            )  # fmt: skip
        return cls(settings, Models(served, default, device), slots)

    async def close(self) -> None:
        """Refuse new work and finish what was accepted."""
        await self._threads.close()
        await self._large_thread.close()
        await self._slots.close()

    async def check(self, models: Iterable[ServedModel]) -> None:
        """See that these models run; one that has failed its last batches is tried on a blank image.

        A picture cannot make a blank image fail, and a model that nobody asks any more can recover.

        Raises
        ------
        NotReady
            If a model fails; says which and why.
        """
        for served in [model for model in models if model.fails]:
            try:
                await served.try_out(self.deadline())
            except Problem:
                raise
            except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
                reason = (str(error).strip() or repr(error)).splitlines()[0]
                raise NotReady(f"model {served.card.name!r} fails on {served.provider}: {reason}") from None

    def deadline(self) -> float:
        """The moment of `time.monotonic()` until which a request that begins now may wait."""
        return time.monotonic() + self._settings.request_timeout

    async def work(self, job: Callable[[], Answer], deadline: float) -> Answer:
        """Run a job in one of the threads for picture files."""
        answers: list[Answer] = await self._jobs.submit([job], deadline)
        return answers[0]

    async def read(
        self, served: ServedModel, files: Sequence[bytes], preprocess: str | None, deadline: float
    ) -> list[Floats | Problem]:
        """Picture files to the arrays (C,H,W) that the network takes; in the place of one, what is wrong with it."""
        limit = self._settings.max_pixels
        jobs = [partial(_read, data, served.card.input, preprocess) for data in files]
        enough = min(SMALL_PICTURE, limit)
        images = await self._jobs.submit([partial(job, enough) for job in jobs], deadline)
        # Known from their headers, before anything was decoded.
        large = [index for index, image in enumerate(images) if isinstance(image, TooLarge)]
        again = await self._large_jobs.submit([partial(jobs[index], limit) for index in large], deadline)
        for index, image in zip(large, again, strict=True):
            images[index] = image
        return images

    async def encode(self, served: ServedModel, images: Sequence[Floats], deadline: float) -> list[Capsules]:
        """Images (C,H,W) to their capsules."""
        seen = await served.encoder.submit(images, deadline)
        if not np.isfinite([each.lengths for each in seen]).all():
            raise FloatingPointError(f"model {served.card.name!r} gave lengths that are not finite")
        return seen


def _run_all(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return [job() for job in jobs]


def _read(data: bytes, spec: InputSpec, preprocess: str | None, max_pixels: int) -> Floats | Problem:
    """A picture file to the array (C,H,W) that the network takes, or what is wrong with it."""
    try:
        return decode(data, spec, preprocess=preprocess, max_pixels=max_pixels)
    except ImageTooLarge as error:
        return TooLarge(str(error))
    except NotAnImage as error:
        return NotAPicture(str(error))
