"""Hold a data set as tensors on the device, split it, and yield the batches of an epoch: no loader, no workers, no
per-sample Python. The samples of a step are a function of (seed, epoch, step) alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from training.data import keyed_random
from training.data.augmentation import ORDER, STREAMS, Augmentation, augment
from training.data.composition import CHUNK, Batch, CompositionSpec, SceneComposer, to_bytes
from training.data.datasets import DatasetError, DatasetPart
from training.trainer.run_config import RunConfig

# A stream that no epoch uses: epochs count from 0, four streams each.
SPLIT_STREAM = 0xFFFF
# Epochs that no run reaches: of the validation scenes and, counted down, of their augmented copies.
VALIDATION_EPOCH = 0x3FFE
COPIES_EPOCH = 0x3FFD
# Images below which nothing is held out, and below which a folder holds out a fifth.
FEWEST, SMALL_FOLDER = 10, 2000


@dataclass(frozen=True)
class DeviceData:
    """Images (N,C,H,W) as bytes, labels (N,) or (N,K), and each one's index (N,) in the published file, on one device.

    With a `scene`, the images are the objects that scenes are made of.
    """

    images: Tensor
    labels: Tensor
    samples: Tensor
    scene: CompositionSpec | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, rows: Tensor | slice) -> Tensor:
        """Return images (B,C,H,W) of some rows, float32 in [0,1]."""
        return self.images[rows].float() / 255

    def batch(self, rows: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Batch:
        """Return the augmented images of rows (B,), or the scenes whose first objects they are, for an epoch."""
        if self._composer is not None:
            return self._composer.compose(rows, policy, seed=seed, epoch=epoch)
        images = augment(self.floats(rows), self.samples[rows], policy, seed=seed, epoch=epoch)
        return Batch(images, self.labels[rows].unsqueeze(1), images.unsqueeze(1))

    def first(self, count: int) -> Tensor:
        """Return images (count,C,H,W) of the first rows, not augmented; fewer where there are not as many."""
        rows = torch.arange(min(count, len(self)), device=self.labels.device)
        return self.batch(rows, Augmentation(), seed=0, epoch=0).images

    def validation_scenes(self, seed: int) -> "DeviceData":
        """Return one scene for each image, the same for a seed; the images themselves without a scene."""
        return self if self._composer is None else self._made(Augmentation(), [VALIDATION_EPOCH], seed)

    def augmented_copies(self, policy: Augmentation, count: int, *, seed: int) -> "DeviceData":
        """Return augmented copies of each image, or scenes of each; the same for a seed, and of no epoch."""
        return self._made(policy, [COPIES_EPOCH - copy for copy in range(count)], seed)

    def _made(self, policy: Augmentation, epochs: Sequence[int], seed: int) -> "DeviceData":
        """Return the images that some epochs make of all images."""
        rows = torch.arange(len(self), device=self.labels.device)
        made = [
            self.batch(part, policy, seed=seed, epoch=epoch)
            for epoch in epochs
            for part in torch.split(rows, CHUNK)
        ]
        images = torch.cat([to_bytes(each.images) for each in made])
        labels = torch.cat([each.labels for each in made]).squeeze(1)
        return DeviceData(images, labels, self.samples.repeat(len(epochs)))

    @cached_property
    def _composer(self) -> SceneComposer | None:
        return (
            None if self.scene is None else SceneComposer(self.scene, self.images, self.labels, self.samples)
        )


def train_val_split(
    data: DatasetPart, config: RunConfig, device: torch.device
) -> tuple[DeviceData, DeviceData]:
    """Return the training images, and the validation images held out of them by the split seed.

    Scenes of each part are composed of its own images alone.

    Raises
    ------
    DatasetError
        If there are too few images to hold any out.
    """
    count = held_out_count(data, config.validation)
    if count == 0:
        raise DatasetError(
            f"{config.dataset}: has {len(data.labels)} images; at least 10 are needed to train and validate"
        )
    order, seed = _order(data, config.held_out_by), config.held_out_by
    return _rows(data, order[count:], device), _rows(data, order[:count], device).validation_scenes(seed)


def held_out_count(data: DatasetPart, validation: int) -> int:
    """Return how many images are held out when `validation` are wanted: at most a tenth.

    A folder with its own validation part holds out that part, another one `held_out_of_classes`.
    """
    if data.held_out is not None:
        return int(data.held_out.sum())
    if data.by_class:
        return held_out_of_classes(np.bincount(data.labels).tolist(), validation)
    return min(validation, len(data.labels) // 10)


def held_out_of_classes(counts: Sequence[int], validation: int) -> int:
    """Return how many images of a folder are held out when `validation` are wanted, given the images of each class.

    At most a tenth; of a small folder a fifth and at least one a class, because a tenth measures too little.
    """
    count = sum(counts)
    if count < FEWEST:
        return min(validation, count // 10)
    divisible = sum(each > 1 for each in counts)
    share = count // 5 if count < SMALL_FOLDER else max(SMALL_FOLDER // 5, count // 10)
    return max(divisible, min(validation, share))


def held_out(data: DatasetPart, seed: int, count: int, device: torch.device) -> DeviceData:
    """Return the images that a seed holds out, not made into scenes yet; a smaller count gives a subset."""
    return _rows(data, _order(data, seed)[:count], device)


def _order(data: DatasetPart, seed: int) -> Tensor:
    """Return all rows (N,), those to hold out first."""
    order = keyed_random.permutation(seed, SPLIT_STREAM, len(data.labels), torch.device("cpu"))
    if not data.by_class:
        return order
    urgency = torch.from_numpy(split_urgency(data.labels[order.numpy()]))
    if data.held_out is not None:
        urgency -= 10 * torch.from_numpy(data.held_out)[order].double()
    return order[urgency.argsort(stable=True)]


def split_urgency(labels: np.ndarray) -> np.ndarray:
    """Return numbers (N,): the images with the smallest ones are held out, and every class gives its share of them.

    Of labels (N,) in random order, one image of each class comes first and one comes last.
    """
    urgency = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        urgency[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        urgency[rows[0]] = -1.0
        urgency[rows[-1]] = 2.0  # after the line above: the only image of a class is trained on
    return urgency


def _rows(data: DatasetPart, chosen: Tensor, device: torch.device) -> DeviceData:
    rows = chosen.sort().values
    images, labels = torch.from_numpy(data.images)[rows], torch.from_numpy(data.labels)[rows]
    return DeviceData(images.to(device), labels.to(device), rows.to(device), data.scene)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the full batches in an epoch; the remaining images differ from epoch to epoch."""
    return max(1, images // batch_size)


def batches(
    data: DeviceData, config: RunConfig, epoch: int, *, start: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """Yield augmented examples of an epoch, a batch a step, from step `start` on.

    Of a global batch, process `rank` of `world` gets every world-th sample; together they see what one process would.
    """
    order = keyed_random.permutation(config.seed, epoch * STREAMS + ORDER, len(data), data.labels.device)
    for step in range(start, steps_per_epoch(len(data), config.batch_size)):
        rows = order[step * config.batch_size : (step + 1) * config.batch_size][rank::world]
        made = data.batch(rows, config.policy, seed=config.seed, epoch=epoch)
        yield made._replace(images=made.images.contiguous(memory_format=torch.channels_last))
