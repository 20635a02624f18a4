"""Tell which images a network has been trained on, in all its stages, and which were held out to validate it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capsnet.card import CardError, ModelCard
from model.checkpoint import CheckpointError
from training.data.datasets import DatasetPart, portable
from training.trainer.run_state import RunIdentity
from training.trainer.stages import Provenance, Stage


@dataclass(frozen=True, kw_only=True)
class DataLineage:
    """What a network was trained on, and which images validated it.

    Attributes
    ----------
    dataset, data
        The data set of its last stage, and the fingerprint of the images.
    seed, validation
        The seed that chose its validation images, and their wanted number.
    stages
        All its runs, those of its teachers among them, in order.
    """

    dataset: str
    data: str
    seed: int
    validation: int
    stages: tuple[Stage, ...]

    @classmethod
    def of_run(cls, origin: RunIdentity, made: Provenance) -> "DataLineage":
        """Return the lineage from the identity of a run and from all runs that made its network."""
        config = origin.config
        return cls(
            dataset=portable(config.dataset),
            data=origin.data,
            seed=config.held_out_by,
            validation=config.validation,
            stages=made.stages,
        )

    @classmethod
    def of_model(cls, folder: Path, card: ModelCard) -> "DataLineage":
        """Return the lineage from the card of the model in a folder; raises CardError if the card lacks it."""
        made = card.training
        stages = made_by(folder, card).stages
        validation = made.get("validation_images")
        if (
            not stages
            or not isinstance(validation, int)
            or validation < 1
            or not {"dataset", "data"} <= made.keys()
        ):
            raise CardError(f"{folder}: its card does not say how it was trained")
        return cls(
            dataset=str(made["dataset"]),
            data=str(made["data"]),
            seed=stages[-1].split_seed,
            validation=validation,
            stages=stages,
        )

    def overlaps(self, dataset: str, data: DatasetPart, seed: int, count: int) -> Stage | None:
        """Return the first stage that may have been trained on images that a seed holds out of a data set."""
        return next((stage for stage in self.stages if stage.may_have_seen(dataset, data, seed, count)), None)


def made_by(folder: Path, card: ModelCard) -> Provenance:
    """Return how the model in a folder was made; raises CardError where its card has an invalid stage."""
    try:
        return Provenance.read(card.training)
    except TypeError as error:
        raise CardError(f"{folder}: its card does not say how it was trained: {error}") from None


def read_provenance(path: Path, header: dict[str, Any]) -> Provenance:
    """Return how the network of a checkpoint with this header was made; raises CheckpointError if it does not say."""
    try:
        return Provenance.read(header["provenance"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: does not say how it was trained ({error})") from None
