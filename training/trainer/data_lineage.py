"""Which images a network has been trained on, in all its stages, and which were held out to validate it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from capsnet.card import CardError, ModelCard
from training.data.datasets import DERIVED, DatasetPart, portable
from training.trainer.device_data import held_out_count
from training.trainer.run_config import RunConfig
from training.trainer.run_state import RunIdentity

# Between the commands of stages.
THEN = " && "
# Their data set and seed are always written out (`training.trainer.provenance`), in this order.
FIT = re.compile(r"training fit --dataset (?P<dataset>.+?) --architecture .* --seed (?P<seed>\d+)")
VALIDATION = re.compile(r" --validation (\d+)")
# Its epochs, and the one to stop after where that is an earlier one.
EPOCHS, UNTIL = re.compile(r" --epochs (\d+)"), re.compile(r" --until (\d+)")
# Where images were held out by another seed than the run's own.
SPLIT = re.compile(r" --split-seed (\d+)")


@dataclass(frozen=True)
class Stage:
    """One run of `fit`.

    `dataset` is what it was trained on, `seed` chose the `validation` images that were held out, and `epochs` says
    after how many it was to end, where its command says so.
    """

    dataset: str
    seed: int
    validation: int
    epochs: int = field(default=0, compare=False)

    def may_have_seen(self, dataset: str, data: DatasetPart, seed: int, count: int) -> bool:
        """Whether it may have been trained on some of the images that a seed holds out of `data`, a data set's.

        Fewer images that a seed holds out are among more of them (`training.trainer.device_data.held_out`).
        """
        same = source_of(self.dataset) == source_of(dataset)
        return same and (self.seed != seed or held_out_count(data, self.validation) < count)


@dataclass(frozen=True, kw_only=True)
class DataLineage:
    """What a network was trained on, and which images validated it.

    Attributes
    ----------
    dataset, data
        What it was trained on in its last stage, and the fingerprint of those images.
    seed, validation
        By which its validation images were chosen, and how many they were to be.
    stages
        All its runs, those of its teachers among them, in order.
    """

    dataset: str
    data: str
    seed: int
    validation: int
    stages: tuple[Stage, ...]

    @classmethod
    def of_run(cls, origin: RunIdentity, command: str) -> "DataLineage":
        """Out of what a run was made of, and all commands that made it."""
        config = origin.config
        return cls(
            dataset=portable(config.dataset),
            data=origin.data,
            seed=config.held_out_by,
            validation=config.validation,
            stages=stages_of(command),
        )

    @classmethod
    def of_model(cls, folder: Path, card: ModelCard) -> "DataLineage":
        """Out of the card of the model in a folder; raises CardError if it does not say how it was trained."""
        made = card.training
        stages = stages_of(str(made.get("command", "")))
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
            seed=stages[-1].seed,
            validation=validation,
            stages=stages,
        )

    def overlaps(self, dataset: str, data: DatasetPart, seed: int, count: int) -> Stage | None:
        """The first stage that may have been trained on some of the images that a seed holds out of a data set."""
        return next((stage for stage in self.stages if stage.may_have_seen(dataset, data, seed, count)), None)


def stages_of(command: str) -> tuple[Stage, ...]:
    """The runs of `fit` among the commands that made a network."""
    found = []
    for words in command.split(THEN):
        if fit := FIT.search(words):
            validation, own = VALIDATION.search(words), SPLIT.search(words)
            found.append(
                Stage(
                    fit["dataset"],
                    int(own[1] if own else fit["seed"]),
                    int(validation[1]) if validation else RunConfig.validation,
                    int(epochs[1]) if (epochs := UNTIL.search(words) or EPOCHS.search(words)) else 0,
                )
            )
    return tuple(found)


def source_of(dataset: str) -> str:
    """The published data set whose images a data set is made of, or itself."""
    name = portable(dataset)
    return DERIVED[name].source if name in DERIVED else name
