"""A network that was trained before, out of a run's checkpoint or an exported model: to start from, or to learn from.

Either way the images that validate the new run must not have trained it, or they would measure nothing.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoint import load_network, read_tensors
from model.contract import CardError, ModelCard, sha256
from model.layers import CapsuleNetwork
from model.restore import restore
from training.batches import held_out_of
from training.datasets import Split, portable
from training.recipe import Recipe
from training.runs import Origin, RunError


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Which images a network was trained on, and which of them were held out to validate it.

    Attributes
    ----------
    dataset, data
        What it was trained on, and the fingerprint of those images.
    seed, validation
        By which its validation images were chosen, and how many they were to be.
    """

    dataset: str
    data: str
    seed: int
    validation: int

    @classmethod
    def read(cls, path: Path) -> "HeldOut":
        """Read it out of a checkpoint, or of an exported model if `path` is a folder.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read, or does not say how it was trained.
        """
        if path.is_dir():
            return cls.of_model(path, ModelCard.load(path))
        return cls.of_run(Origin.read(path, read_tensors(path)[1]))

    def same_images(self, other: "HeldOut") -> bool:
        """Whether the images that one held out are among those that the other did."""
        return (self.data, self.seed) == (other.data, other.seed)

    @classmethod
    def of_run(cls, origin: Origin) -> "HeldOut":
        """Out of what a run was made of."""
        return cls(
            dataset=portable(origin.recipe.dataset),
            data=origin.data,
            seed=origin.recipe.seed,
            validation=origin.recipe.validation,
        )

    @classmethod
    def of_model(cls, folder: Path, card: ModelCard) -> "HeldOut":
        """Out of the card of the model in a folder; raises CardError if it does not say how it was trained."""
        made: dict[str, Any] = card.training
        try:
            return cls(
                dataset=made["dataset"],
                data=made["data"],
                seed=int(re.findall(r"--seed (\d+)", made["command"])[-1]),  # commands always say it
                validation=made["validation_images"],
            )
        except (KeyError, IndexError, TypeError):
            raise CardError(f"{folder}: its card does not say how it was trained") from None


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A network and how it came to be.

    Attributes
    ----------
    network
        On the CPU, in evaluation mode.
    command
        All the commands that made it.
    classes
        What it tells apart.
    held_out
        The images that it was trained on and those that it was not.
    """

    network: CapsuleNetwork
    command: str
    classes: tuple[str, ...]
    held_out: HeldOut

    @classmethod
    def read(cls, path: Path) -> "Earlier":
        """Read a checkpoint, or an exported model if `path` is a folder.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read, or does not say how it was trained.
        """
        return cls._of_model(path) if path.is_dir() else cls._of_checkpoint(path)

    @classmethod
    def _of_checkpoint(cls, path: Path) -> "Earlier":
        network, header = load_network(path)
        return cls(
            network=network,
            command=str(header["provenance"]["command"]),
            classes=tuple(header["classes"]),
            held_out=HeldOut.of_run(Origin.read(path, header)),
        )

    @classmethod
    def _of_model(cls, folder: Path) -> "Earlier":
        network, card = restore(folder)
        held_out = HeldOut.of_model(folder, card)
        return cls(
            network=network,
            command=str(card.training["command"]),
            classes=card.classes,
            held_out=held_out,
        )

    def check_held_out(self, source: Path, recipe: Recipe, data: Split) -> None:
        """Refuse this network, read from `source`, where it may have been trained on a run's validation images.

        Of a data set with another name nothing is asked.

        Raises
        ------
        RunError
            Naming `source`.
        """
        mine = self.held_out
        same_images = mine.data == data.fingerprint()
        if not same_images and mine.dataset != portable(recipe.dataset):
            return
        # Fewer validation images of one seed are the first ones of more of them (`batches.split`).
        wanted, most = (held_out_of(data, each.validation) for each in (recipe, mine))
        if not same_images or mine.seed != recipe.seed or most < wanted:
            raise RunError(
                f"{source}: had other validation images; give its data, --seed {mine.seed} and a --validation of at "
                f"most {most if same_images else 'what it had'}"
            )


@dataclass(frozen=True)
class Start:
    """The weights that a run begins with, their file, and the command that made them."""

    weights: dict[str, Tensor]
    file: str
    command: str

    @classmethod
    def read(cls, path: Path, recipe: Recipe, data: Split) -> "Start":
        """Read a checkpoint or an exported model to begin with.

        Raises
        ------
        CheckpointError, CardError
            If it cannot be read.
        RunError
            If it is of another network, whatever its number of classes, or had other validation images.
        """
        before = Earlier.read(path)
        config = before.network.config
        if replace(config, num_classes=recipe.config.num_classes) != recipe.config:
            raise RunError(f"{path}: is of another network, {config}")
        before.check_held_out(path, recipe, data)
        file = with_its_folder(path) if path.is_dir() else path.name
        return cls(before.network.state_dict(), file, before.command)

    def hand_over(self, network: CapsuleNetwork) -> list[str]:
        """Give the weights to a network; the names of those that stay fresh, as its classes are more or fewer."""
        state = network.state_dict()
        fitting = {name: w for name, w in self.weights.items() if w.shape == state[name].shape}
        network.load_state_dict(state | fitting)
        return [name for name in state if name not in fitting]


def with_its_folder(path: Path) -> str:
    """The name of a checkpoint or an exported model and of the folder that it lies in: runs/mine, and no more."""
    whole = path.resolve()
    return f"{whole.parent.name}/{whole.name}"


def fingerprint(path: Path) -> str:
    """16 hexadecimal digits that name a checkpoint's or an exported model's weights; raises CardError, OSError."""
    return ModelCard.load(path).export_id if path.is_dir() else sha256(path)[:16]
