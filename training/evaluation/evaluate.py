"""Measure a model on a test set: its errors, its reconstructions, and the share that its guard accepts."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from capsnet import guard
from capsnet.card import CARD_FILE, CARD_IN_WORK, CardError, Guard, Metrics, ModelCard, Speed
from capsnet.config import InputSpec
from capsnet.multi_object import missed_count
from capsnet.onnx_model import Model, OnnxModel, open_variants, reconstruct
from model.checkpoint import load_network, read_tensors
from model.nn.layers import CapsuleNetwork
from training.data.datasets import (
    DERIVED,
    FOLDER_PREFIX,
    DatasetError,
    DatasetPart,
    describe,
    first_scenes,
    has_test_part,
    load,
    portable,
)
from training.trainer.data_lineage import DataLineage, read_provenance
from training.trainer.losses import margin_loss, one_hot_targets
from training.trainer.run_state import EpochResult, RunIdentity, kept_epochs

BATCH = 500

logger = logging.getLogger(__name__)


class TorchModel:
    """A network behind the interface that exported models have."""

    def __init__(self, network: CapsuleNetwork) -> None:
        self._network = network.eval()

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lengths (B,J) and poses (B,J,D) of images (B,C,H,W) in [0,1]."""
        parts = torch.split(torch.from_numpy(images), self._network.config.images_at_once)
        lengths, poses = zip(*(self._network.encode(part) for part in parts), strict=True)
        return torch.cat(lengths).numpy(), torch.cat(poses).numpy()

    @torch.inference_mode()
    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return images (B,C,H,W) in [0,1] from poses (B,J,D) and the classes (B,) to draw."""
        return self._network.decode(torch.from_numpy(poses), torch.from_numpy(label)).numpy()


@dataclass(frozen=True)
class Candidate:
    """A model to be measured: its variants with their guards, and what its card or checkpoint says of it.

    `held_out` is None where a card does not say how the model was trained.
    """

    variants: dict[str, tuple[Model, Guard | None]]
    classes: tuple[str, ...]
    input: InputSpec
    objects: int
    trained_on: str
    training_data: str
    held_out: DataLineage | None


def evaluate_model(
    path: Path, dataset: str | None, folder: Path | None, draws: int = 1
) -> dict[str, Metrics]:
    """Return the figures of every variant of an exported model, or of the network of a checkpoint.

    Parameters
    ----------
    path
        The folder of an exported model, or a checkpoint.
    dataset
        The data set to measure on; by default the test part of the model's own.
    folder
        Folder of the data sets.
    draws
        How many draws to measure of a composed test set; `draw_errors` are their errors.

    Raises
    ------
    CardError, CheckpointError, DatasetError
        If the model or the data set cannot be read, they do not fit together, the model was trained on these images, or
        several draws of a set are asked for that is not composed.
    """
    candidate = open_candidate(path)
    name = dataset or candidate.trained_on
    check_classes(path, candidate.classes, candidate.input, candidate.objects, name)
    data = load(name, "test", folder, spec=candidate.input)
    check_unseen(path, candidate.training_data, name, data, candidate.trained_on)
    figures = {
        v: measure(model, data, portable(name), guard) for v, (model, guard) in candidate.variants.items()
    }
    if draws == 1:
        return figures
    if name not in DERIVED:
        raise DatasetError(f"{name}: is a set of images that are as they are, so there is one draw of it")
    errors = {v: [metrics.error] for v, metrics in figures.items()}
    for draw in range(1, draws):
        data = load(name, "test", folder, spec=candidate.input, draw=draw)
        for v, (model, _) in candidate.variants.items():
            errors[v].append(measure(model, data, portable(name), None).error)
    return {v: replace(metrics, draw_errors=tuple(errors[v])) for v, metrics in figures.items()}


@dataclass(frozen=True)
class MeasuredEpoch:
    """An epoch of a run: what the log says of it, and its figures on a test set."""

    result: EpochResult
    metrics: Metrics


def evaluate_epochs(run: Path, dataset: str | None, folder: Path | None) -> list[MeasuredEpoch]:
    """Measure every epoch that a run has kept on a test set, in order.

    Raises
    ------
    TrainingError
        If the run has kept none.
    CheckpointError, DatasetError
        As `evaluate_model` raises them.
    """
    measured = []
    for path in kept_epochs(run):
        result = EpochResult(**read_tensors(path)[1]["result"])
        (metrics,) = evaluate_model(path, dataset, folder).values()
        measured.append(MeasuredEpoch(result, metrics))
    return measured


def open_with_training_images(
    path: Path, dataset: str | None, folder: Path | None
) -> tuple[ModelCard, OnnxModel, DatasetPart]:
    """Return an exported model's card, the model in fp32, and the images of a data set for training.

    Without `dataset` these are the images that trained it, of a composed data set the first scenes; raises as
    `evaluate_model` does.
    """
    card, variants = open_variants(path)
    name = dataset or str(card.training["dataset"])
    check_classes(path, card.classes, card.input, card.objects, name)
    return card, variants["fp32"], first_scenes(load(name, "train", folder, spec=card.input))


def check_classes(path: Path, classes: tuple[str, ...], spec: InputSpec, objects: int, dataset: str) -> None:
    """Check that a data set has the classes and the input of a model; raises DatasetError."""
    info = describe(dataset, spec=spec if dataset.startswith(FOLDER_PREFIX) else None)
    if (info.classes, info.input, info.objects) != (classes, spec, objects):
        raise DatasetError(
            f"{path}: has {_describe_data(classes, spec, objects)}; "
            f"{dataset} has {_describe_data(info.classes, info.input, info.objects)}"
        )


def check_unseen(
    path: Path, training_data: str, dataset: str, data: DatasetPart, trained_on: str = ""
) -> None:
    """Refuse to measure a model on the images that trained it; raises DatasetError.

    They are known by their fingerprint. A folder of the name that the model was `trained_on` has nearly the same
    images, though some may have come or gone, unless it keeps a part for tests. Where only the last part of its path is
    that name, it may be another one, and the log warns.
    """
    if data.fingerprint() == training_data or (dataset == trained_on and not has_test_part(dataset)):
        raise DatasetError(
            f"{dataset}: are the images that {path} was trained on, so they measure nothing; "
            "name a folder of other images with --dataset"
        )
    if trained_on and portable(dataset) == portable(trained_on) and not has_test_part(dataset):
        logger.warning(
            "%s: %s was trained on a folder of this name; if it is the same, the figures say nothing",
            dataset,
            path,
        )


def open_candidate(path: Path) -> Candidate:
    """Open a checkpoint (`.safetensors`) or the folder of an exported model; raises as `evaluate_model` does."""
    if path.suffix != ".safetensors":
        card, models = open_variants(path)
        training = {key: str(card.training.get(key, "")) for key in ("dataset", "data")}
        variants: dict[str, tuple[Model, Guard | None]] = {
            name: (model, card.variants[name].guard) for name, model in models.items()
        }
        held_out = None
        with contextlib.suppress(CardError):
            held_out = DataLineage.of_model(path, card)
        return Candidate(
            variants, card.classes, card.input, card.objects, training["dataset"], training["data"], held_out
        )
    network, header = load_network(path)
    origin = RunIdentity.read(path, header)
    config = origin.config
    held_out = DataLineage.of_run(origin, read_provenance(path, header))
    only: dict[str, tuple[Model, Guard | None]] = {"checkpoint": (TorchModel(network), None)}
    return Candidate(
        only, tuple(header["classes"]), config.input, header["objects"], config.dataset, origin.data, held_out
    )


def _describe_data(classes: tuple[str, ...], spec: InputSpec, objects: int) -> str:
    return f"the classes {', '.join(classes)}, the input {spec} and {objects} in an image"


def measure(model: Model, data: DatasetPart, dataset: str, thresholds: Guard | None) -> Metrics:
    """Run a model over a whole test set, whose classes, and number of them in an image, are the model's."""
    wrong, inexact, accepted, margin, squared = 0, 0, 0, 0.0, 0.0
    objects = data.labels[0].size
    for first in range(0, len(data.labels), BATCH):
        images = data.images[first : first + BATCH].astype(np.float32) / 255
        labels = data.labels[first : first + BATCH]
        lengths, poses = model.encode(images)
        drawn = reconstruct(model, lengths, poses, objects)
        misses = missed_count(lengths, labels)
        wrong += int(misses.sum())
        inexact += int((misses > 0).sum())
        targets = one_hot_targets(torch.from_numpy(labels), lengths.shape[1])
        margin += float(margin_loss(torch.from_numpy(lengths), targets).sum())
        squared += float(np.square(drawn - images).mean(axis=(1, 2, 3)).sum())
        if thresholds is not None:
            near = guard.distance(images, drawn) <= guard.thresholds(thresholds, images, lengths, objects)
            accepted += int(near.sum())
    count = len(data.labels)
    return Metrics(
        dataset=dataset,
        images=count,
        errors=wrong,
        error=wrong / data.labels.size,
        margin_loss=margin / count,
        reconstruction_mse=squared / count,
        accepted=None if thresholds is None else accepted / count,
        exact_match_error=inexact / count if objects > 1 else None,
    )


def encode_all(model: Model, data: DatasetPart) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths (B,J) and poses (B,J,D) of a whole part."""
    encoded = [
        model.encode(data.images[first : first + BATCH].astype(np.float32) / 255)
        for first in range(0, len(data.labels), BATCH)
    ]
    lengths, poses = (np.concatenate(each) for each in zip(*encoded, strict=True))
    return lengths, poses


def write_card(folder: Path, metrics: Mapping[str, Metrics], speeds: Mapping[str, Speed]) -> None:
    """Write the figures of each variant into the card of an exported model; raises CardError if there is none."""
    replace_card(folder, ModelCard.load(folder).with_metrics(metrics).with_speeds(speeds))


def replace_card(folder: Path, card: ModelCard) -> None:
    """Replace the card of an exported model, in one step."""
    temporary = folder / CARD_IN_WORK
    temporary.write_text(card.to_json(), encoding="utf-8")
    temporary.replace(folder / CARD_FILE)
