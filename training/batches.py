"""A data set as tensors on the device, its validation split, and the batches of an epoch: no loader, no workers, no
per-sample Python. Which samples a step sees is a function of (seed, epoch, step) alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training import draws
from training.augment import ORDER, STREAMS, augment
from training.datasets import DatasetError, Split
from training.recipe import Recipe

# A stream that no epoch uses: epochs count from 0, four streams each.
SPLIT_STREAM = 0xFFFF


@dataclass(frozen=True)
class DeviceData:
    """Images (N,C,H,W) as bytes, labels (N,) and each one's index (N,) in the published file, on one device."""

    images: Tensor
    labels: Tensor
    samples: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, rows: Tensor | slice) -> Tensor:
        """Images (B,C,H,W) of some rows, float32 in [0,1]."""
        return self.images[rows].float() / 255


def split(data: Split, recipe: Recipe, device: torch.device) -> tuple[DeviceData, DeviceData]:
    """The training images and the validation images cut off them, chosen by the seed.

    Raises
    ------
    DatasetError
        If there are too few images to cut any off.
    """
    count = len(data.labels)
    held_out = min(recipe.validation, count // 10)
    if held_out == 0:
        raise DatasetError(
            f"{recipe.dataset}: has {count} images; at least 10 are needed to train and validate"
        )
    order = draws.permutation(recipe.seed, SPLIT_STREAM, count, torch.device("cpu"))
    validation, training = order[:held_out].sort().values, order[held_out:].sort().values
    return _rows(data, training, device), _rows(data, validation, device)


def _rows(data: Split, rows: Tensor, device: torch.device) -> DeviceData:
    images, labels = torch.from_numpy(data.images)[rows], torch.from_numpy(data.labels)[rows]
    return DeviceData(images.to(device), labels.to(device), rows.to(device))


def steps_an_epoch(data: DeviceData, recipe: Recipe) -> int:
    """Full batches in an epoch; the images left over differ from epoch to epoch."""
    return max(1, len(data) // recipe.batch_size)


def batches(
    data: DeviceData, recipe: Recipe, epoch: int, *, start: int = 0, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented images (B,C,H,W) and labels (B,) of an epoch from step `start` on.

    Of a global batch, process `rank` of `world` gets every world-th sample; together they see what one process would.
    """
    order = draws.permutation(recipe.seed, epoch * STREAMS + ORDER, len(data), data.labels.device)
    for step in range(start, steps_an_epoch(data, recipe)):
        rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size][rank::world]
        images = augment(data.floats(rows), data.samples[rows], recipe.policy, seed=recipe.seed, epoch=epoch)
        yield images.contiguous(memory_format=torch.channels_last), data.labels[rows]
