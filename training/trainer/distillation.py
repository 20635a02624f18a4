"""Learn from a trained network: its answers count beside the labels, on the same images.

Distillation (Hinton et al. 2015, https://arxiv.org/abs/1503.02531) in the terms of capsules. The margin loss asks of
each class whether it is in the image, T_k in {0, 1}; with a teacher, T_k is the teacher's answer mixed with the label.
A shirt that resembles a coat then need not give one long capsule. Both networks get the same augmented copy of an image
(Beyer et al. 2021, https://arxiv.org/abs/2106.05237), so neither has memorised it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart
from training.trainer.pretrained import PretrainedNetwork, with_its_folder
from training.trainer.run_config import RunConfig
from training.trainer.run_state import TrainingError
from training.trainer.stages import Provenance


@dataclass(frozen=True)
class Teacher:
    """The network of the teacher, its file with the parent folder, and its provenance."""

    network: CapsuleNetwork
    file: str
    made: Provenance

    @classmethod
    def read(cls, path: Path, config: RunConfig, data: DatasetPart, classes: tuple[str, ...]) -> "Teacher":
        """Read a checkpoint or an exported model to learn from, for a network of these classes.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read.
        TrainingError
            If its images or classes are others, or if it may have been trained on images that validate the new run.
        """
        before = PretrainedNetwork.read(path)
        before.check_held_out(path, config, data)
        if (before.classes, before.network.config.image_shape) != (classes, config.network.image_shape):
            raise TrainingError(f"{path}: cannot teach, since its images or classes are others")
        return cls(before.network.requires_grad_(False), with_its_folder(path), before.made)

    @torch.no_grad()
    def soft_targets(self, images: Tensor) -> Tensor:
        """Return a CNN's probabilities, or capsules' lengths, (B,J) in [0,1], of images (B,C,H,W)."""
        lengths, _ = self.network.encode(images)
        return lengths.float().clamp(0, 1)
