"""Write and read the files of a run, so that it can be killed at any time and resumed.

state.safetensors  everything to resume from: weights, their average, Adam's moments, counters, the history so far
best.safetensors   the averaged weights of the epoch that was best on the validation images
last.safetensors   the averaged weights after the last finished epoch
epochs/            the averaged weights of every epoch, if they are kept
log.csv            one row an epoch
tensorboard/       the same curves as events

The state alone decides. The other files are written before it, and the curves are drawn again from its history
when a run is resumed, so a kill between two files costs at most the work since the last state.
"""

import csv
import io
import statistics
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from capsnet.config import UserError
from model.checkpoint import CheckpointError, read_tensors, write_tensors
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart, load
from training.trainer.ema import MovingAverage
from training.trainer.run_config import RunConfig

EPOCHS = "epochs"
STATE, BEST, LAST, LOG = "state.safetensors", "best.safetensors", "last.safetensors", "log.csv"
MOMENTS = ("exp_avg", "exp_avg_sq")
ANEW = "delete {}, or give another --output, to train again (`make train` takes RUN=FOLDER)"


def epoch_file(epoch: int) -> str:
    """Return the name, below the run's folder, of the checkpoint of an epoch that is kept."""
    return f"{EPOCHS}/epoch-{epoch:03d}.safetensors"


def kept_epochs(folder: Path) -> list[Path]:
    """Return the checkpoints of all epochs that a run has kept, in order.

    Raises
    ------
    TrainingError
        If there are none.
    """
    found = sorted(
        (folder / EPOCHS).glob("epoch-*.safetensors"), key=lambda path: int(path.stem.partition("-")[2])
    )
    if not found:
        raise TrainingError(f"{folder}: has kept no epochs; `fit --keep-epochs` keeps them")
    return found


class TrainingError(UserError):
    """A run cannot be started or resumed; the message says why and what to do."""


@dataclass(frozen=True)
class EpochResult:
    """One row of the log, of an epoch after which the network was validated.

    Attributes
    ----------
    epoch
        The epoch, counted from 1.
    loss, margin_loss
        Means over the training images of the epochs since the last validation.
    reconstruction_loss
        The sum of squared pixel errors of an image, averaged in the same way.
    validation_error
        Share of the validation images' objects that are missed, 0 to 1.
    validation_margin_loss
        Mean over the validation images.
    learning_rate
        That of the epoch's last step.
    seconds
        Time since the last validation, or since the run began.
    """

    epoch: int
    loss: float
    margin_loss: float
    reconstruction_loss: float
    validation_error: float
    validation_margin_loss: float
    learning_rate: float
    seconds: float


@dataclass
class TrainingProgress:
    """The position of a run: the next epoch and step, and the sums so far of loss, margin and reconstruction loss."""

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    history: list[EpochResult] = field(default_factory=list)

    @property
    def best(self) -> EpochResult | None:
        """Return the epoch so far with the smallest margin loss on the validation images, and the first of equal ones.

        The number of errors would not do: of 5,000 images a good network gets twenty wrong, plus or minus four, so the
        lowest count of many epochs is mostly luck. The loss counts every image.
        """
        return min(self.history, key=attrgetter("validation_margin_loss"), default=None)


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """When a run ends before the last epoch of its schedule, by the names of the options of `fit`.

    It is no part of `RunConfig`: the epochs until then are the same, and the run can be continued.

    Attributes
    ----------
    until
        After this epoch, counted from 1.
    until_error
        After an epoch with no larger a share of the validation images wrong, so that networks can be compared that
        are equally good.
    plateau
        After so many epochs without a better one.
    minutes
        After the epoch in which training has taken so long in all.
    cooldown
        At a plateau, or when the minutes are nearly used up, lower the rate to its floor within so many epochs first.
        The weights of a high rate are not as good as those that the end of the schedule gives.
    """

    until: int | None = None
    until_error: float | None = None
    plateau: int | None = None
    minutes: float | None = None
    cooldown: int | None = None

    def reached(self, history: list[EpochResult]) -> bool:
        """Tell whether the last finished epoch is one to stop after."""
        if not history:
            return False
        last = history[-1]
        if (self.until is not None and last.epoch >= self.until) or self.met_by(last):
            return True
        if self.minutes is not None and sum(each.seconds for each in history) >= 60 * self.minutes:
            return True
        if self.cooldown:
            begun = self.cooling_since(history)
            return begun is not None and last.epoch >= begun + self.cooldown
        return self._on_a_plateau(history)

    def cooling_since(self, history: list[EpochResult]) -> int | None:
        """Return the epoch after which the rate falls to its floor before its time; None while it does not.

        A plateau stays one. A machine that was busy for a while has time again afterwards: then the rate rises again.
        """
        if not self.cooldown:
            return None
        since = None
        for count in range(1, len(history) + 1):
            part = history[:count]
            if self._on_a_plateau(part):
                return part[-1].epoch if since is None else since
            if not self._short_of_time(part):
                since = None
            elif since is None:
                since = part[-1].epoch
        return since

    def _on_a_plateau(self, history: list[EpochResult]) -> bool:
        best = TrainingProgress(history=history).best
        return (
            self.plateau is not None and best is not None and history[-1].epoch - best.epoch >= self.plateau
        )

    def _short_of_time(self, history: list[EpochResult]) -> bool:
        """Tell whether the time left is that of the cooldown, at the median speed of the last three results."""
        if self.minutes is None:
            return False
        left = 60 * self.minutes - sum(each.seconds for each in history)
        ends = [0, *(each.epoch for each in history)]
        paces = [each.seconds / (each.epoch - end) for each, end in zip(history, ends, strict=False)]
        return left <= ((self.cooldown or 0) + 1) * statistics.median(paces[-3:])

    def met_by(self, result: EpochResult) -> bool:
        """Tell whether an epoch has the wanted error."""
        return self.until_error is not None and result.validation_error <= self.until_error


@dataclass(frozen=True)
class RunIdentity:
    """The settings of a run and a fingerprint of its data. Both are in every checkpoint."""

    config: RunConfig
    data: str

    def header(self) -> dict[str, Any]:
        """Return the identity as JSON values."""
        return {"recipe": self.config.to_dict(), "data": self.data}

    @classmethod
    def read(cls, source: Path, header: dict[str, Any]) -> "RunIdentity":
        """Read the identity from a checkpoint's header; raises CheckpointError if it is missing."""
        try:
            return cls(RunConfig.from_dict(header["recipe"]), str(header["data"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{source}: does not say how it was trained ({error!r})") from None

    def check(self, source: Path, header: dict[str, Any]) -> None:
        """Refuse a checkpoint of other settings or other data than these.

        Raises
        ------
        TrainingError
            Naming what differs.
        """
        other = RunIdentity.read(source, header)
        old, new = (_flat(each.config.to_dict()) for each in (other, self))
        differing = [
            f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
            for key in {**old, **new}
            if old.get(key) != new.get(key)
        ]
        if differing:
            raise TrainingError(
                f"{source}: is of a run with other settings ({'; '.join(differing)}); {ANEW.format(source.parent)}"
            )
        other.check_images(source, self.data)

    def images(self, source: Path, folder: Path | None) -> DatasetPart:
        """Return the images of the run, from the folder of the data sets; raises TrainingError if they changed."""
        images = load(self.config.dataset, "train", folder, spec=self.config.input)
        self.check_images(source, images.fingerprint())
        return images

    def check_images(self, source: Path, data: str) -> None:
        """Refuse images whose fingerprint is another than those of `source` had; raises TrainingError."""
        if self.data != data:
            raise TrainingError(
                f"{source}: is of a run on other images; {self.config.dataset} has changed since; "
                f"{ANEW.format(source.parent)}"
            )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with those of the network beside the others."""
    return {**settings, **settings["network"], "network": None}


def save_state(
    folder: Path,
    network: CapsuleNetwork,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    position: TrainingProgress,
    origin: "RunIdentity",
) -> None:
    """Write everything that a resumed run needs."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in average.network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    write_tensors(folder / STATE, tensors, {**origin.header(), "position": asdict(position)})


def load_state(
    folder: Path,
    network: CapsuleNetwork,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    origin: "RunIdentity",
) -> TrainingProgress:
    """Restore a run from its state, and return its position.

    Raises
    ------
    TrainingError
        If the folder holds a run with other settings or on other data; the message names what differs.
    CheckpointError
        If the state cannot be read.
    """
    tensors, header = read_tensors(folder / STATE)
    origin.check(folder / STATE, header)
    network.load_state_dict(_below(tensors, "network."))
    average.load(_below(tensors, "average."))
    moments = {key: _below(tensors, f"adam.{key}.") for key in ("step", *MOMENTS)}
    for name, parameter in network.named_parameters():
        if name in moments["step"]:
            optimizer.state[parameter] = {
                "step": moments["step"][name].to(parameter.device),  # the fused Adam wants it there
                # In the parameter's own memory layout (channels-last): the fused Adam walks both as flat memory.
                **{key: torch.empty_like(parameter).copy_(moments[key][name]).detach() for key in MOMENTS},
            }
    values = header["position"]
    history = [EpochResult(**row) for row in values.pop("history")]
    return TrainingProgress(**values, history=history)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def write_log(folder: Path, history: list[EpochResult]) -> None:
    """Write the whole log again, so that it never has rows of epochs that a resumed run repeats."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochResult.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    temporary = folder / f".{LOG}.tmp"
    temporary.write_text(text.getvalue(), encoding="utf-8")
    temporary.replace(folder / LOG)
