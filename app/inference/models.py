"""Load models onto the device, with queues before their two graphs, and hold those in service."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from capsnet import guard
from capsnet.card import Guard, ModelCard
from capsnet.explanation.votes import LazyRouting
from capsnet.guard import ReconstructionCheck

from ..errors import InvalidParameter, ModelError, UnknownModel, did_you_mean, first_line, quote
from ..settings import Settings
from .batching.batcher import Batcher, Observer, Queue
from .batching.timing import timed
from .graph_health import GraphHealth
from .model_repository import ModelFiles
from .runtime.device import Device
from .runtime.engine import Engine
from .types import Capsules, ClassifyJob, ClassifyOutput, DecodeJob, Floats


@dataclass(frozen=True)
class LoadedModel:
    """A model in service."""

    card: ModelCard
    precision: str
    precision_reason: str
    provider: str
    classify_queue: Queue[ClassifyJob, ClassifyOutput]
    encoder: Queue[Floats, Capsules]
    decoder: Queue[DecodeJob, Floats]
    graph_health: tuple[GraphHealth, GraphHealth]
    samples: bytes | None = None
    routing: LazyRouting | None = None

    @property
    def fails(self) -> bool:
        """Tell whether one of its graphs has failed too often in a row."""
        return any(health.is_failing for health in self.graph_health)

    def retire(self) -> None:
        """Drop the queues when the requests that still hold this model are answered."""
        for queue in (self.classify_queue, self.encoder, self.decoder):
            queue.retire()

    async def probe(self, deadline: float) -> None:
        """Run both graphs on a blank image; raises the errors of `submit`, and FloatingPointError."""
        blank = np.zeros(self.card.config.image_shape, np.float32)
        (capsules,) = await self.encoder.submit([blank], deadline)
        if not capsules.are_finite:
            raise FloatingPointError("the lengths of a blank image are not finite")
        await self.decoder.submit([DecodeJob(capsules.poses, 0)], deadline)

    def find_class(self, parameter: str, label: str | int) -> int:
        """Return the index of a class given by its name or, where no class has that name, by its index.

        Raises
        ------
        InvalidParameter
            If there is no such class.
        """
        if (index := self.card.find_class(label)) is not None:
            return index
        classes = self.card.classes
        raise InvalidParameter.of(
            parameter,
            quote(label) if isinstance(label, str) else str(label),
            f"should be an index from 0 to {len(classes) - 1} or one of the classes {_listed(classes)}"
            f"{did_you_mean(str(label), classes)}",
        )


class ModelRegistry:
    """The models in service by name, and the one that answers where a request names none."""

    def __init__(self, models: dict[str, LoadedModel], default: str, device: Device) -> None:
        self._models = models
        self.default = default
        self.device = device

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models.values())

    def put(self, model: LoadedModel) -> LoadedModel | None:
        """Serve a model from now on; return the one of its name that was served until now."""
        before = self._models.get(model.card.name)
        self._models = self._models | {model.card.name: model}  # a loop over the old dict goes on undisturbed
        return before

    def remove(self, name: str) -> LoadedModel:
        """Stop serving a model, and return it; raises UnknownModel."""
        removed = self.get(name)
        self._models = {other: model for other, model in self._models.items() if other != name}
        return removed

    @property
    def widest_pose(self) -> int:
        """Return the largest number of pose dimensions of all models."""
        return max(model.card.config.pose_dim for model in self)

    def get(self, name: str | None) -> LoadedModel:
        """Return the model called `name`, or the default one for None; raises UnknownModel."""
        if name is None:
            name = self.default
        if name not in self._models:
            raise UnknownModel(name, self._models)
        return self._models[name]


# Returns the observers of the queue of a model ("" for none) at a stage, such as "encode".
Observers = Callable[[str, str], Sequence[Observer]]


def load_model(
    stored: ModelFiles, device: Device, batcher: Batcher, settings: Settings, observers: Observers
) -> LoadedModel:
    """Load the files of a model onto the device and run it once; raises ModelError."""
    card = stored.card
    precision, reason = stored.choose_precision(settings.precision, device.is_gpu)
    try:
        engine = Engine(device, stored.encoder(precision), stored.decoder, settings.max_batch)
    except ModelError:
        raise
    except Exception as error:  # a full or lost device; the runtime's own exceptions share no other base
        raise ModelError(f"{stored.folder}: cannot be loaded onto the device: {first_line(error)}") from error
    stored.check_metadata(engine.metadata)
    warm_up = partial(engine.warm_up, card.config.image_shape, card.config.num_classes, card.config.pose_dim)
    if device.records:  # ONNX Runtime replays a recording only in the thread that made it
        batcher.run_in_slot(warm_up)
    else:
        warm_up()

    def encode(images: list[Floats]) -> Sequence[Capsules]:
        with timed("encode"):
            return list(map(Capsules, *engine.encode(np.stack(images))))

    def decode(jobs: list[DecodeJob]) -> Sequence[Floats]:
        poses, labels = zip(*jobs, strict=True)
        with timed("decode"):
            return list(engine.decode(np.stack(poses), np.array(labels, np.int64)))

    graph_health = GraphHealth(f"{card.name}: encoder"), GraphHealth(f"{card.name}: decoder")
    watched = graph_health[0].wrap(encode, _some_are_finite), graph_health[1].wrap(decode)
    variant = card.variants[precision]
    classify = partial(_classify, *watched, variant.guard, card.objects)
    return LoadedModel(
        card=card,
        precision=precision,
        precision_reason=reason,
        provider=engine.provider,
        classify_queue=batcher.queue(classify, settings.max_batch, observers(card.name, "classify")),
        encoder=batcher.queue(watched[0], settings.max_batch, observers(card.name, "encode")),
        decoder=batcher.queue(watched[1], settings.max_batch, observers(card.name, "decode")),
        graph_health=graph_health,
        samples=stored.read_samples(),
        routing=None if card.routing is None else LazyRouting(card, stored.folder),
    )


def _some_are_finite(capsules: Sequence[Capsules]) -> bool:
    """Tell whether an encoder computes, at least for one image of a batch."""
    return any(each.are_finite for each in capsules)


def _classify(
    encode: Callable[[list[Floats]], Sequence[Capsules]],
    decode: Callable[[list[DecodeJob]], Sequence[Floats]],
    limits: Guard,
    objects: int,
    jobs: list[ClassifyJob],
) -> list[ClassifyOutput]:
    """Encode images and check those that ask for it, both graphs in one batch: a second batch would wait again."""
    capsules = encode([job.image for job in jobs])
    checks: list[ReconstructionCheck | None] = [None] * len(jobs)
    chosen = [index for index, job in enumerate(jobs) if job.verify]
    if chosen:
        images = [jobs[index].image for index in chosen]
        results = _check(limits, objects, images, [capsules[index] for index in chosen], decode)
        for index, check in zip(chosen, results, strict=True):
            checks[index] = check
    return list(map(ClassifyOutput, capsules, checks))


def _check(
    limits: Guard,
    objects: int,
    images: list[Floats],
    capsules: list[Capsules],
    decode: Callable[[list[DecodeJob]], Sequence[Floats]],
) -> list[ReconstructionCheck]:
    """Draw the longest capsules of each image again, and measure how far the drawing is from the image."""
    stacked, lengths = np.stack(images), np.stack([each.lengths for each in capsules])  # (B,C,H,W), (B,J)
    # One capsule of every image at a time, so that no batch is larger than that of the images.
    drawn = [
        np.stack(
            decode([DecodeJob(each.poses, int(label)) for each, label in zip(capsules, labels, strict=True)])
        )
        for labels in guard.top_classes(lengths, objects).T
    ]
    together = guard.overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)
    return guard.check_reconstructions(limits, stacked, together, lengths, objects)


def choose_default(stored: dict[str, ModelFiles], settings: Settings) -> str:
    """Return the name of the default model: the setting's or, where that is unset and missing, the first by name.

    Raises
    ------
    ModelError
        If the setting names a model that is not there.
    """
    wanted = settings.default_model
    if wanted in stored:
        return wanted
    if "default_model" in settings.model_fields_set:
        raise ModelError(
            f"{settings.models}: CAPSNET_DEFAULT_MODEL is {wanted!r}; the models there are {_listed(sorted(stored))}"
        )
    return min(stored)


def _listed(names: Sequence[str]) -> str:
    """Return the names as text, at most twenty of them."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
