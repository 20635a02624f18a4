"""What `fit` and `export` do more for a folder of images: look at it, choose settings, and report honestly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from capsnet.config import InputSpec
from model.checkpoint import load_network, read_tensors
from model.nn.layers import CapsuleNetwork
from training.data import folder_survey, image_folder
from training.data.datasets import DEFAULT_INPUT, FOLDER_PREFIX, Split, folder_of
from training.evaluation.evaluate import TorchModel
from training.evaluation.honesty import Verdict, judge
from training.trainer.auto_config import choose
from training.trainer.config import Recipe
from training.trainer.device_data import DeviceData, split
from training.trainer.run_state import BEST, STATE, RunIdentity, Stop

# What a data set that is no folder takes, where nothing is set by hand.
PUBLISHED_DEFAULTS: dict[str, Any] = {
    "architecture": "efficient",
    "epochs": 40,
    "batch_size": Recipe.batch_size,
    "learning_rate": Recipe.learning_rate,
    "warmup": Recipe.warmup,
    "ema": Recipe.ema,
    "augmentation": None,
}
REPORTED_MISTAKES = 20
BATCH = 500


@dataclass(frozen=True)
class Settings:
    """The values of the options, and the rows (option, value, reason) of what was chosen for a folder."""

    values: dict[str, Any]
    reasons: list[list[str]]

    def add_stop(self, stop: Stop, by_hand: Stop) -> None:
        """Add the rows that say when the run ends before its last epoch."""
        for name, reason in (
            ("plateau", "epochs without a better one; the rate then falls to its end first"),
            ("minutes", "bound on the time of training"),
        ):
            why = reason if getattr(by_hand, name) is None else "set by hand"
            self.reasons.append([name, f"{getattr(stop, name):g}", why])

    def print(self, console: Console, *, quiet: bool) -> None:
        """Print the table of what was chosen."""
        if quiet:
            return
        table = Table("option", "value", "reason", box=None, header_style="bold")
        for option, value, reason in self.reasons:
            table.add_row(f"--{option.replace('_', '-')}", value, reason)
        console.print(table, highlight=False)


def published_settings(dataset: str, by_hand: dict[str, Any]) -> Settings:
    """Return the constants, for every option that is not set by hand."""
    given = {name: value for name, value in by_hand.items() if value is not None}
    own = any(name in given for name in ("image_size", "channels", "preprocess"))
    return Settings({**PUBLISHED_DEFAULTS, **given, "input": _input(given) if own else None}, [])


def folder_settings(dataset: str, output: Path, by_hand: dict[str, Any], *, resume: bool) -> Settings | None:
    """Look at a folder, print what lies in it, and choose the settings not given by hand; None for other data sets.

    A run that is resumed keeps what was chosen when it began.
    """
    if not dataset.startswith(FOLDER_PREFIX):
        return None
    given = {name: value for name, value in by_hand.items() if value is not None}
    if resume and (output / STATE).is_file():
        chosen = stored_settings(output / STATE)
        why = dict.fromkeys(chosen, "as the run began")
    else:
        listing = image_folder.list_images(folder_of(dataset))
        facts = folder_survey.survey(listing)
        console = Console(stderr=True)
        console.print(folder_survey.summary(listing.classes, facts.counts), highlight=False, soft_wrap=True)
        for sentence in folder_survey.warnings(listing.classes, facts.counts):
            console.print(f"[yellow]warning:[/] {sentence}", highlight=False, soft_wrap=True)
        choices = choose(facts, preprocess=given.get("preprocess"), batch_size=given.get("batch_size"))
        chosen = {each.option: each.value for each in choices}
        why = {each.option: each.reason for each in choices}
    values = {**chosen, **given}
    reasons = [[name, str(values[name]), "set by hand" if name in given else why[name]] for name in chosen]
    return Settings({**values, "input": _input(values)}, reasons)


def stored_settings(state: Path) -> dict[str, Any]:
    """Return the options of a run that has begun."""
    recipe = RunIdentity.read(state, read_tensors(state)[1]).recipe
    return {
        "preprocess": recipe.input.preprocess,
        "image_size": recipe.input.height,
        "channels": recipe.input.channels,
        "architecture": recipe.config.architecture,
        **{
            name: getattr(recipe, name)
            for name in ("augmentation", "batch_size", "epochs", "learning_rate", "warmup", "ema")
        },
    }


def warn_of_duplicates(data: Split, recipe: Recipe, classes: Sequence[str], console: Console) -> None:
    """Warn where validation images are almost equal to training images."""
    _, kept = split(data, recipe, torch.device("cpu"))
    held_out = np.zeros(len(data.labels), bool)
    held_out[kept.samples.numpy()] = True
    if sentence := folder_survey.near_duplicates(data.images, data.labels, held_out, classes):
        console.print(f"[yellow]warning:[/] {sentence}", highlight=False, soft_wrap=True)


def verdict(network: CapsuleNetwork, fitted: DeviceData, held_out: DeviceData) -> Verdict:
    """Return how good a network is on the validation images."""
    return judge(
        longest_capsules(network, held_out),
        held_out.images.cpu().numpy(),
        held_out.labels.cpu().numpy(),
        fitted.images.cpu().numpy(),
        fitted.labels.cpu().numpy(),
    )


@torch.inference_mode()
def longest_capsules(network: CapsuleNetwork, data: DeviceData) -> np.ndarray:
    """Return the class (B,) of every image."""
    found = [
        network.encode(data.floats(slice(first, first + BATCH)).cpu())[0].argmax(dim=1)
        for first in range(0, len(data), BATCH)
    ]
    return torch.cat(found).numpy()


def report_run(
    run: Path, fitted: DeviceData, held_out: DeviceData, classes: Sequence[str], console: Console
) -> None:
    """Say how good the best epoch is, and draw its confusions and worst mistakes into the run's folder."""
    network = load_network(run / BEST)[0].eval()
    console.print(verdict(network, fitted, held_out).sentences(), highlight=False, soft_wrap=True)
    for path in draw_report(network, held_out, classes, run):
        console.print(f"  {path}", highlight=False)


def draw_report(
    network: CapsuleNetwork, held_out: DeviceData, classes: Sequence[str], output: Path
) -> list[Path]:
    """Draw the confusion matrix and, if there are any, the worst mistakes; return the files."""
    from training.reporting.plots import draw_confusion, draw_mistakes  # slow to import

    images, labels = held_out.floats(slice(None)).cpu().numpy(), held_out.labels.cpu().numpy()
    model = TorchModel(network)
    parts = [model.encode(images[first : first + BATCH]) for first in range(0, len(images), BATCH)]
    lengths, poses = (np.concatenate(each) for each in zip(*parts, strict=True))
    winner = lengths.argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, winner), 1)
    files = [output / "confusion.png"]
    draw_confusion(counts, classes, files[0])
    wrong = np.flatnonzero(winner != labels)
    worst = wrong[np.argsort(lengths[wrong, labels[wrong]] - lengths[wrong, winner[wrong]])][
        :REPORTED_MISTAKES
    ]
    (output / "mistakes.png").unlink(missing_ok=True)
    if len(worst):
        captions = [f"{classes[labels[row]]}\n→ {classes[winner[row]]}" for row in worst]
        drawn = model.decode(poses[worst], winner[worst])
        files.append(output / "mistakes.png")
        draw_mistakes(images[worst], drawn, captions, files[1])
    return files


def _input(values: dict[str, Any]) -> InputSpec:
    side = values.get("image_size", DEFAULT_INPUT.height)
    return InputSpec(
        channels=values.get("channels", DEFAULT_INPUT.channels),
        height=side,
        width=side,
        preprocess=values.get("preprocess", DEFAULT_INPUT.preprocess),
    )
