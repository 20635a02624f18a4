"""Read the networks of an export: one checkpoint, or several whose answers are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsnet.config import UserError
from model.checkpoint import read_tensors
from model.export.ensemble import Ensemble
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart
from training.trainer.device_data import DeviceData
from training.trainer.pretrained import PretrainedNetwork, with_its_folder
from training.trainer.run_config import RunConfig
from training.trainer.run_state import RunIdentity
from training.trainer.stages import Provenance
from training.trainer.trainer import validate


class SourceError(UserError):
    """Checkpoints cannot be exported together, or not with mirrored images; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The network to export, and its provenance.

    Attributes
    ----------
    network
        In evaluation mode; an `Ensemble` of several checkpoints or of mirrored images.
    header, config, images
        Header, settings and training images of the first checkpoint.
    made
        The commands and runs that made the network, each once.
    """

    network: CapsuleNetwork
    header: dict[str, Any]
    config: RunConfig
    images: DatasetPart
    made: Provenance

    def validation_error(self, held_out: DeviceData) -> float:
        """Return the share of the objects in the validation images that the network misses."""
        if isinstance(self.network, Ensemble):
            return validate(self.network, held_out)[0]
        error: float = self.header["result"]["validation_error"]
        return error


def read_source(checkpoints: Sequence[Path], data: Path | None, *, mirrored: bool) -> Source:
    """Read the checkpoints of an export; the training images lie below the folder `data`.

    Raises
    ------
    CheckpointError
        If one cannot be read.
    TrainingError
        If the images have changed since, or a network was trained on images that validate the first.
    SourceError
        If they know other classes, or were not trained on mirrored images and are to be shown them.
    ConfigError
        If the networks are not of one kind.
    """
    first, *others = checkpoints
    opened = [PretrainedNetwork.read(path) for path in checkpoints]
    before = opened[0]
    header = read_tensors(first)[1]
    origin = RunIdentity.read(first, header)
    images = origin.images(first, data)
    members, made = [before.network], before.made
    for path, other in zip(others, opened[1:], strict=True):
        other.check_held_out(path, origin.config, images)
        if other.classes != before.classes:
            raise SourceError(f"{path}: knows the classes {', '.join(other.classes)}, and {first} others")
        members.append(other.single(path))
        made += other.made.without(made)
    for path, each in zip(checkpoints, opened, strict=True) if mirrored else ():
        if each.config is None:
            raise SourceError(f"{path}: is an exported model; --mirrored needs its checkpoint")
        if not each.config.policy.flip:
            raise SourceError(
                f"{path}: was not trained on mirrored images (augmentation {each.config.augmentation}), "
                "so --mirrored would show it what it does not know"
            )
    network = before.network
    if others or mirrored:
        network = Ensemble(members, mirrored=mirrored).eval()
        words = ["python -m training export", *map(with_its_folder, checkpoints)]
        made += Provenance((" ".join([*words, *(["--mirrored"] if mirrored else [])]),), ())
    return Source(network=network, header=header, config=origin.config, images=images, made=made)
