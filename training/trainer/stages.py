"""Record each run of `fit` that made a network, in every checkpoint and in the card."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from training.data.datasets import DatasetPart, portable, source_of
from training.trainer.device_data import held_out_count
from training.trainer.run_config import RunConfig

# Separates the commands that made a network.
THEN = " && "


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of `fit`. A field is None where an old file does not say it.

    Attributes
    ----------
    dataset
        Data set of the run, without the paths of a machine.
    seed, split_seed, validation
        Seed of the run, seed of the held-out images, and their wanted number.
    epochs
        Planned number of epochs.
    architecture, augmentation, learning_rate
        As in `RunConfig`.
    start_from, teacher
        The files of the weights that it began with, and of the network that it learned from.
    """

    dataset: str
    seed: int
    split_seed: int
    validation: int
    epochs: int
    architecture: str | None = None
    augmentation: str | None = None
    learning_rate: float | None = None
    start_from: str | None = None
    teacher: str | None = None

    @classmethod
    def of_run(
        cls,
        config: RunConfig,
        *,
        until: int | None = None,
        start_from: str | None = None,
        teacher: str | None = None,
    ) -> "Stage":
        """Return the record of a run with these settings."""
        return cls(
            dataset=portable(config.dataset),
            seed=config.seed,
            split_seed=config.held_out_by,
            validation=config.validation,
            epochs=config.epochs if until is None else min(until, config.epochs),
            architecture=config.network.architecture,
            augmentation=config.augmentation,
            learning_rate=config.learning_rate,
            start_from=start_from,
            teacher=teacher,
        )

    @classmethod
    def read(cls, values: Any) -> "Stage":
        """Return the stage that `asdict` wrote; raises TypeError naming a field that is missing or of another type."""
        known = values if isinstance(values, Mapping) else {}
        for each in fields(cls):
            if not isinstance(known.get(each.name), each.type):  # type: ignore[arg-type]
                raise TypeError(f"'stages' has a wrong or missing {each.name!r}")
        return cls(**{each.name: known.get(each.name) for each in fields(cls)})  # type: ignore[arg-type]

    def may_have_seen(self, dataset: str, data: DatasetPart, split_seed: int, count: int) -> bool:
        """Tell whether it may have been trained on images that a seed holds out of `data`, the images of `dataset`.

        Fewer images that a seed holds out are among more of them (`training.trainer.device_data.held_out`).
        """
        same = source_of(self.dataset) == source_of(dataset)
        return same and (self.split_seed != split_seed or held_out_count(data, self.validation) < count)


@dataclass(frozen=True)
class Provenance:
    """How a network was made: the commands that make it again, and a record of each run of `fit` among them."""

    commands: tuple[str, ...]
    stages: tuple[Stage, ...]

    @classmethod
    def read(cls, made: Mapping[str, Any]) -> "Provenance":
        """Return what a checkpoint's `provenance` or a card's `training` says; raises TypeError as `Stage.read`.

        Older files have commands alone, from which the stages are read.
        """
        command = str(made.get("command", ""))
        commands = tuple(command.split(THEN)) if command else ()
        if "stages" not in made:
            return cls(commands, _stages_of_commands(commands))
        if not isinstance(made["stages"], list):
            raise TypeError("'stages' must be a list")
        return cls(commands, tuple(Stage.read(each) for each in made["stages"]))

    def fields(self) -> dict[str, Any]:
        """Return the JSON values that `read` takes."""
        return {"command": THEN.join(self.commands), "stages": [asdict(stage) for stage in self.stages]}

    def __add__(self, other: "Provenance") -> "Provenance":
        return Provenance(self.commands + other.commands, self.stages + other.stages)

    def without(self, other: "Provenance") -> "Provenance":
        """Return the commands and stages that the other lacks."""
        return Provenance(
            tuple(each for each in self.commands if each not in other.commands),
            tuple(each for each in self.stages if each not in other.stages),
        )


# Old files have commands alone. They write out the data set and the seed always, in this order.
FIT = re.compile(
    r"training fit --dataset (?P<dataset>.+?) --architecture (?P<architecture>\S+) .*--seed (?P<seed>\d+)"
)


def _stages_of_commands(commands: Iterable[str]) -> tuple[Stage, ...]:
    """Return the runs of `fit` among the commands of an old file."""
    return tuple(_stage_of_command(words, fit) for words in commands if (fit := FIT.search(words)))


def _stage_of_command(words: str, fit: re.Match[str]) -> Stage:
    def number(option: str, default: int) -> int:
        found = re.search(rf" --{option} (\d+)", words)
        return int(found[1]) if found else default

    seed = int(fit["seed"])
    return Stage(
        dataset=fit["dataset"],
        seed=seed,
        split_seed=number("split-seed", seed),
        validation=number("validation", RunConfig.validation),
        epochs=number("until", number("epochs", 0)),
        architecture=fit["architecture"],
    )
