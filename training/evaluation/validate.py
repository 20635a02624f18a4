"""Compare models on the images held out to validate them, so that one can be chosen without a test set.

Plain images are too easy where the test images have another source: the writers of MNIST's validation digits also wrote
some of its training digits. Augmented copies differ more from the training images. Either way, the best epoch of a run
was chosen on these images, which favours it a little over other epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from capsnet.card import CardError, Metrics
from capsnet.config import InputSpec
from training.data.augmentation import AUGMENTATIONS, Augmentation
from training.data.datasets import DatasetPart, load, portable
from training.evaluation.evaluate import Candidate, check_classes, measure, open_candidate
from training.trainer.data_lineage import DataLineage
from training.trainer.device_data import held_out, held_out_count
from training.trainer.run_state import TrainingError

# A data set, and the input for which its images are read.
Images = tuple[str, InputSpec]

MOST_COPIES = 100  # of an image: some thousands would share their random numbers with epochs


@dataclass(frozen=True, kw_only=True)
class Copies:
    """A number of copies of each image, augmented by a key of `AUGMENTATIONS`.

    Raises
    ------
    TrainingError
        If there is no such augmentation, or the number is none from 1 to 100.
    """

    augmentation: str
    count: int

    def __post_init__(self) -> None:
        if self.augmentation not in AUGMENTATIONS:
            raise TrainingError(
                f"--augmentation: is {self.augmentation!r}; it must be one of {', '.join(AUGMENTATIONS)}"
            )
        if not 1 <= self.count <= MOST_COPIES:
            raise TrainingError(f"--copies: is {self.count}; it must lie between 1 and {MOST_COPIES}")

    @property
    def policy(self) -> Augmentation:
        """Return the values of the augmentation."""
        return AUGMENTATIONS[self.augmentation]


@dataclass(frozen=True, kw_only=True)
class Validated:
    """Figures of one variant of a model, or of a checkpoint, on the images that `seed` holds out."""

    path: Path
    variant: str
    seed: int
    metrics: Metrics

    def with_seed(self) -> Metrics:
        """Return the figures with the seed added to the name of the data set."""
        return replace(self.metrics, dataset=f"{self.metrics.dataset}, seed {self.seed}")


def validate_models(
    paths: Sequence[Path], dataset: str | None, folder: Path | None, copies: Copies | None
) -> list[Validated]:
    """Measure exported models and checkpoints on the images that were held out to validate them.

    Models of one data set and seed are measured on the same images. If they held out different numbers, these are the
    images of the smallest number, which the others held out too. (Scenes of fewer images are other scenes.) Without
    copies the guard is not measured, because its thresholds come from these very images.

    Parameters
    ----------
    paths
        Folders of exported models, or checkpoints.
    dataset
        The data set of their training, where its name does not contain its path: `folder:PATH`.
    folder
        Folder of the data sets.
    copies
        Copies to make of the images; None for the images or scenes that validate runs.

    Raises
    ------
    CardError, CheckpointError, DatasetError
        If a model or its images cannot be read, or do not fit together.
    TrainingError
        If the images are not those that a model was trained on, or an earlier stage of it was trained on them.
    """
    opened = [(path, *_open(path, dataset)) for path in paths]
    loaded: dict[Images, DatasetPart] = {}
    counts: dict[tuple[Images, int], int] = {}
    for path, _, source, images in opened:
        name, spec = images
        if images not in loaded:
            loaded[images] = load(name, "train", folder, spec=spec)
        count = _count_unseen(path, source, name, loaded[images])
        if copies is not None and copies.policy == Augmentation() and loaded[images].scene is None:
            raise TrainingError(
                f"--augmentation {copies.augmentation}: the copies of an image would be equal"
            )
        counts[images, source.seed] = min(count, counts.get((images, source.seed), count))
    made = {
        (images, seed): _make(loaded[images], seed, count, copies) for (images, seed), count in counts.items()
    }
    return [
        Validated(
            path=path,
            variant=variant,
            seed=source.seed,
            metrics=measure(
                model, made[images, source.seed], portable(images[0]), None if copies is None else guard
            ),
        )
        for path, candidate, source, images in opened
        for variant, (model, guard) in candidate.variants.items()
    ]


def _count_unseen(path: Path, source: DataLineage, name: str, data: DatasetPart) -> int:
    """Return how many images a model held out; raises TrainingError if it may have been trained on some of them."""
    if data.fingerprint() != source.data:
        raise TrainingError(
            f"{path}: was trained on other images than those of {name}; --dataset names those that it was"
        )
    count = held_out_count(data, source.validation)
    if stage := source.overlaps(name, data, source.seed, count):
        raise TrainingError(
            f"{path}: a stage before the last was trained on images that validated the last one "
            f"(on {stage.dataset} with --split-seed {stage.split_seed} and {stage.validation} images held out)"
        )
    return count


def _open(path: Path, dataset: str | None) -> tuple[Candidate, DataLineage, Images]:
    candidate = open_candidate(path)
    if candidate.held_out is None:
        raise CardError(f"{path}: its card does not say how it was trained")
    name = dataset or candidate.trained_on
    check_classes(path, candidate.classes, candidate.input, candidate.objects, name)
    return candidate, candidate.held_out, (name, candidate.input)


def _make(data: DatasetPart, seed: int, count: int, copies: Copies | None) -> DatasetPart:
    plain = held_out(data, seed, count, torch.device("cpu"))
    made = (
        plain.validation_scenes(seed)
        if copies is None
        else plain.augmented_copies(copies.policy, copies.count, seed=seed)
    )
    return DatasetPart(made.images.numpy(), made.labels.numpy())
