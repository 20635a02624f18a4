"""What a run leaves in its folder, so that it can be killed at any moment and go on.

state.safetensors  everything to resume from: weights, their average, Adam's moments, counters, the history so far
best.safetensors   the averaged weights of the epoch that was best on the validation images
last.safetensors   the averaged weights after the last finished epoch
log.csv            one row an epoch
tensorboard/       the same curves as events

The state is the single truth. Every other file is written before it and can be made again from it, so a kill between
two files costs at most the work since the last state.
"""

import csv
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import CheckpointError, read_tensors, write_tensors
from model.layers import CapsuleNetwork
from training.average import MovingAverage
from training.recipe import Recipe

STATE, BEST, LAST, LOG = "state.safetensors", "best.safetensors", "last.safetensors", "log.csv"
MOMENTS = ("exp_avg", "exp_avg_sq")


class RunError(ValueError):
    """A run cannot be started or resumed; the message says why and what to do."""


@dataclass(frozen=True)
class EpochResult:
    """One row of the log. `error` is the share of validation images classified wrongly."""

    epoch: int
    loss: float
    margin_loss: float
    reconstruction_loss: float
    validation_error: float
    validation_margin_loss: float
    learning_rate: float
    seconds: float

    def better_than(self, other: "EpochResult | None") -> bool:
        """Fewer validation images wrong, or as many with a smaller margin loss."""
        if other is None:
            return True
        mine, others = ((r.validation_error, r.validation_margin_loss) for r in (self, other))
        return mine < others


@dataclass
class Position:
    """Where a run stands: the epoch and the step within it that come next, and the sums of the epoch so far."""

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    history: list[EpochResult] = field(default_factory=list)

    @property
    def best(self) -> EpochResult | None:
        """The best epoch so far."""
        best = None
        for result in self.history:
            best = result if result.better_than(best) else best
        return best


def save_state(
    folder: Path,
    network: CapsuleNetwork,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    position: Position,
    recipe: Recipe,
) -> None:
    """Write everything that a resumed run needs."""
    tensors = {f"network.{name}": t for name, t in network.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in average.network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    write_tensors(folder / STATE, tensors, {"recipe": recipe.to_dict(), "position": asdict(position)})


def load_state(
    folder: Path,
    network: CapsuleNetwork,
    average: MovingAverage,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> Position:
    """Put a run back to where its state says, and say where that is.

    Raises
    ------
    RunError
        If the folder holds a run of another recipe; the message names what differs.
    CheckpointError
        If the state cannot be read.
    """
    tensors, header = read_tensors(folder / STATE)
    check_same_recipe(folder, header, recipe)
    network.load_state_dict(_below(tensors, "network."))
    average.load(_below(tensors, "average."))
    moments = {key: _below(tensors, f"adam.{key}.") for key in ("step", *MOMENTS)}
    for name, parameter in network.named_parameters():
        if name in moments["step"]:
            optimizer.state[parameter] = {
                "step": moments["step"][name],
                # In the parameter's own memory layout (channels-last): the fused Adam walks both as flat memory.
                **{key: torch.empty_like(parameter).copy_(moments[key][name]).detach() for key in MOMENTS},
            }
    values = header["position"]
    history = [EpochResult(**row) for row in values.pop("history")]
    return Position(**values, history=history)


def check_same_recipe(folder: Path, header: dict[str, Any], recipe: Recipe) -> None:
    """Refuse to resume a run with other settings than it was started with."""
    try:
        before = Recipe.from_dict(header["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / STATE}: its recipe cannot be read ({error})") from None
    old, new = before.to_dict(), recipe.to_dict()
    differing = [f"{key} was {old[key]!r} and is {new[key]!r}" for key in old if old[key] != new[key]]
    if differing:
        raise RunError(
            f"{folder}: holds a run with other settings ({'; '.join(differing)}); "
            "give the old ones, or another --output"
        )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def write_log(folder: Path, history: list[EpochResult]) -> None:
    """Write the whole log anew, so that it never holds rows of epochs that a resumed run repeats."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochResult.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    temporary = folder / f".{LOG}.tmp"
    temporary.write_text(text.getvalue(), encoding="utf-8")
    temporary.replace(folder / LOG)
