"""Report on a model of an image folder, for `fit` and `export`: how good it is, and what it confuses."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from model.checkpoint import load_network
from model.nn.layers import CapsuleNetwork
from training.evaluation.evaluate import TorchModel
from training.evaluation.honesty import Verdict, judge
from training.trainer.device_data import DeviceData
from training.trainer.run_state import BEST

REPORTED_MISTAKES = 20
REPORTED_PAIRS = 5
BATCH = 500


def verdict(network: CapsuleNetwork, fitted: DeviceData, held_out: DeviceData) -> Verdict:
    """Return how good a network is on the validation images."""
    return judge(
        longest_capsules(network, held_out),
        held_out.images.cpu().numpy(),
        held_out.labels.cpu().numpy(),
        fitted.images.cpu().numpy(),
        fitted.labels.cpu().numpy(),
    )


def longest_capsules(network: CapsuleNetwork, data: DeviceData) -> np.ndarray:
    """Return the class (N,) of every image."""
    model = TorchModel(network)
    parts = (slice(first, first + BATCH) for first in range(0, len(data), BATCH))
    return np.concatenate([model.encode(data.floats(part).cpu().numpy())[0].argmax(axis=1) for part in parts])


def report_run(
    run: Path, fitted: DeviceData, held_out: DeviceData, classes: Sequence[str], console: Console
) -> None:
    """Print how good the best epoch is, and draw its confusions and worst mistakes into the run's folder."""
    network = load_network(run / BEST)[0].eval()
    console.print(verdict(network, fitted, held_out).sentences(), highlight=False, soft_wrap=True)
    counts, files = draw_report(network, held_out, classes, run)
    if pairs := most_confused(counts, classes):
        console.print(f"most confused: {pairs}", highlight=False, markup=False, soft_wrap=True)
    for path in files:
        console.print(f"  {path}", highlight=False)


def most_confused(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Return the commonest mistakes (J,J) in a line: a class, the class it was taken for, the count; empty for none."""
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:REPORTED_PAIRS]
    pairs = (np.unravel_index(each, wrong.shape) for each in order)
    return "; ".join(
        f"{classes[row]} → {classes[column]}, {wrong[row, column]}"
        for row, column in pairs
        if wrong[row, column]
    )


def draw_report(
    network: CapsuleNetwork, held_out: DeviceData, classes: Sequence[str], output: Path
) -> tuple[np.ndarray, list[Path]]:
    """Draw the confusion matrix and, if there are any, the worst mistakes; return the matrix (J,J) and the files."""
    from training.reporting.plots import draw_confusion, draw_mistakes  # slow to import

    images, labels = held_out.floats(slice(None)).cpu().numpy(), held_out.labels.cpu().numpy()
    model = TorchModel(network)
    lengths, poses = model.encode(images)
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
    return counts, files
