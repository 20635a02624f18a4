"""Models side by side on images that trained none of them, so that one can be chosen without a test set.

Plain ones flatter where those of the test are from elsewhere: whoever wrote the validation digits of MNIST wrote some
of its training digits too. Augmented copies go further from what a network has seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.contract import Metrics
from training.augment import AUGMENTATIONS
from training.batches import held_out, held_out_of
from training.datasets import Split, load, portable
from training.earlier import HeldOut
from training.evaluate import check_classes, measure, open_candidate
from training.runs import RunError


@dataclass(frozen=True, kw_only=True)
class Copies:
    """So many augmented copies of each image; `augmentation` is a key of `AUGMENTATIONS`."""

    augmentation: str
    count: int

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise RunError(
                f"--augmentation: is {self.augmentation!r}; it must be one of {', '.join(AUGMENTATIONS)}"
            )


def validate_models(
    paths: Sequence[Path], dataset: str | None, folder: Path | None, copies: Copies | None
) -> Iterator[tuple[Path, str, Metrics]]:
    """Figures of every variant of exported models, and of checkpoints, on the images held out to validate them.

    Models of the same training images and seed are measured on the same images: where they held out more or fewer, on
    the fewest, which are among the others' too.

    Parameters
    ----------
    paths
        Folders of exported models, or checkpoints.
    dataset
        What they were trained on, where its name alone does not say where it lies: `folder:PATH`.
    folder
        Where the data sets lie.
    copies
        What to make of the images; None for the images, or scenes, that validated the runs.

    Raises
    ------
    CardError, CheckpointError, DatasetError
        If a model or its images cannot be read, or do not fit together.
    RunError
        If the images are not those that a model was trained on.
    """
    sources = {path: HeldOut.read(path) for path in paths}
    for path, source in sources.items():
        candidate = open_candidate(path)
        name = dataset or candidate.trained_on
        check_classes(path, candidate.classes, candidate.input, candidate.objects, name)
        data = load(name, "train", folder, spec=candidate.input)
        if data.fingerprint() != source.data:
            raise RunError(f"{path}: was trained on other images than those of {name}")
        count = min(each.validation for each in sources.values() if each.same_images(source))
        images = _images(data, source.seed, held_out_of(data, count), copies)
        for variant, (model, guard) in candidate.variants.items():
            yield path, variant, measure(model, images, portable(name), guard)


def _images(data: Split, seed: int, count: int, copies: Copies | None) -> Split:
    plain = held_out(data, seed, count, torch.device("cpu"))
    if copies is None:
        made = plain.composed(seed)
    else:
        made = plain.copies(AUGMENTATIONS[copies.augmentation], copies.count, seed=seed)
    return Split(made.images.numpy(), made.labels.numpy())
