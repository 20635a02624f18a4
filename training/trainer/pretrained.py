"""Read a trained network from a checkpoint or an exported model, to start from or to learn from.

The images that validate the new run must not have trained this network, or they would measure nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from capsnet.card import ModelCard, sha256
from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.checkpoint import load_network
from model.export.ensemble import Ensemble
from model.export.to_pytorch import restore
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart, portable
from training.trainer.data_lineage import DataLineage, made_by, read_provenance
from training.trainer.device_data import held_out_count
from training.trainer.run_config import RunConfig
from training.trainer.run_state import RunIdentity, TrainingError
from training.trainer.stages import Provenance


@dataclass(frozen=True, kw_only=True)
class PretrainedNetwork:
    """A trained network and its provenance.

    Attributes
    ----------
    network
        On the CPU, in evaluation mode.
    made
        The commands and runs that made it.
    classes
        Its classes.
    held_out
        The images that it was trained on and those that it was not.
    config
        The settings of its run; None for an exported model.
    """

    network: CapsuleNetwork
    made: Provenance
    classes: tuple[str, ...]
    held_out: DataLineage
    config: RunConfig | None = None

    @classmethod
    def read(cls, path: Path) -> "PretrainedNetwork":
        """Read a checkpoint, or an exported model if `path` is a folder.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read, or does not say how it was trained.
        """
        return cls._of_model(path) if path.is_dir() else cls._of_checkpoint(path)

    @classmethod
    def _of_checkpoint(cls, path: Path) -> "PretrainedNetwork":
        network, header = load_network(path)
        origin, made = RunIdentity.read(path, header), read_provenance(path, header)
        held_out = DataLineage.of_run(origin, made)
        classes = tuple(header["classes"])
        return cls(network=network, made=made, classes=classes, held_out=held_out, config=origin.config)

    @classmethod
    def _of_model(cls, folder: Path) -> "PretrainedNetwork":
        network, card = restore(folder)
        held_out = DataLineage.of_model(folder, card)
        return cls(network=network, made=made_by(folder, card), classes=card.classes, held_out=held_out)

    def single(self, source: Path) -> CapsuleNetwork:
        """Return the network without what an export adds, mirrored images; raises TrainingError if it is several."""
        if not isinstance(self.network, Ensemble):
            return self.network
        if len(self.network.members) > 1:
            raise TrainingError(f"{source}: is of several networks; take a checkpoint of one of them")
        return self.network.first()

    def check_held_out(self, source: Path, config: RunConfig, data: DatasetPart) -> None:
        """Refuse this network, read from `source`, where it may have been trained on a run's validation images.

        Data sets with other names are not checked, unless the images are the same.

        Raises
        ------
        TrainingError
            Naming `source`.
        """
        mine = self.held_out
        wanted, most = (held_out_count(data, each.validation) for each in (config, mine))
        same_images = mine.data == data.fingerprint()
        same_name = mine.dataset == portable(config.dataset)
        if (same_images and (mine.seed != config.held_out_by or most < wanted)) or (
            same_name and not same_images
        ):
            raise TrainingError(
                f"{source}: had other validation images; give its data, --split-seed {mine.seed} and a --validation "
                f"of at most {most if same_images else 'what it had'}"
            )
        if stage := mine.overlaps(config.dataset, data, config.held_out_by, wanted):
            raise TrainingError(
                f"{source}: was trained on images that are to validate this run, in a stage on {stage.dataset} with "
                f"--split-seed {stage.split_seed} and {stage.validation} images held out"
            )


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a run begins with, their file, their provenance, and the classes that they tell apart."""

    weights: dict[str, Tensor]
    file: str
    made: Provenance
    classes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, config: RunConfig, data: DatasetPart) -> "InitialWeights":
        """Read a checkpoint or an exported model to begin with.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read.
        TrainingError
            If it is of another network, whatever its number of classes, of several, or had other validation images.
        """
        before = PretrainedNetwork.read(path)
        network = before.single(path)
        if replace(network.config, num_classes=config.network.num_classes) != config.network:
            raise TrainingError(f"{path}: is of another network, {network.config}")
        before.check_held_out(path, config, data)
        file = with_its_folder(path) if path.is_dir() else path.name
        return cls(network.state_dict(), file, before.made, before.classes)

    def load_into(self, network: CapsuleNetwork, classes: tuple[str, ...]) -> list[str]:
        """Load the weights into a network; return the names of those that belong to other classes and stay initial."""
        state = network.state_dict()
        of_classes = set() if classes == self.classes else weights_of_classes(network.config)
        fitting = {
            name: w
            for name, w in self.weights.items()
            if w.shape == state[name].shape and name not in of_classes
        }
        network.load_state_dict(state | fitting)
        return [name for name in state if name not in fitting]


def weights_of_classes(config: ModelConfig) -> set[str]:
    """Return the names of the weights whose shape follows from the number of classes."""
    with torch.device("meta"), torch.random.fork_rng():
        shapes, more = (
            {name: weight.shape for name, weight in build(each).state_dict().items()}
            for each in (config, replace(config, num_classes=config.num_classes + 1))
        )
    return {name for name, shape in shapes.items() if shape != more[name]}


def with_its_folder(path: Path) -> str:
    """Return the name of a checkpoint or an exported model with its parent folder, such as runs/mine."""
    whole = path.resolve()
    return f"{whole.parent.name}/{whole.name}"


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that identify the weights of a file or model; raises CardError, OSError."""
    return ModelCard.load(path).export_id if path.is_dir() else sha256(path)[:16]
