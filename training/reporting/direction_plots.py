"""Draw the path from one image to another along their poses, and how a capsule shortens as ink is covered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from capsnet.card import ModelCard
from capsnet.onnx_model import Model
from training.data.datasets import DatasetPart
from training.reporting.reconstruction_plots import label_row, save, show

STEPS, ROWS = 9, 3
# Images of a class from which the two with the most different poses are chosen.
AMONG = 60
# The orders in which ink is covered: their words, colours and lines.
ORDERS = {
    "random": ("in a random order", "0.55", "--"),
    "votes": ("most votes first", "#1f6fb4", "-"),
    "occlusion": ("by occlusion", "#d9730d", "-"),
}


def interpolation(model: Model, card: ModelCard, data: DatasetPart, output: Path) -> None:
    """Draw, for some classes, the path from one image to another along their poses, and along their pixels."""
    labels = np.linspace(0, len(card.classes) - 1, 2 * ROWS + 1).round().astype(int)[1::2]
    figure = Figure(figsize=(0.72 * (STEPS + 2) + 0.9, 0.8 * 2 * len(labels) + 0.4), layout="constrained")
    grid = figure.subplots(2 * len(labels), STEPS + 2, squeeze=False)
    for row, label in enumerate(labels.tolist()):
        images, poses = _far_apart(model, data, label)
        shares = np.linspace(0, 1, STEPS, dtype=np.float32)
        path = poses[0] + shares[:, None, None] * (poses[1] - poses[0])  # (S,J,D)
        drawn = model.decode(path, np.full(STEPS, label))
        mixed = images[0] + shares[:, None, None, None] * (images[1] - images[0])
        for line, between in enumerate((drawn, mixed)):
            cells = grid[2 * row + line]
            for cell, image in zip(cells, (images[0], *between, images[1]), strict=True):
                show(cell, image)
            label_row(cells[0], ("along the pose", "along the pixels")[line])
    for column, words in ((0, "from"), (STEPS + 1, "to")):
        grid[0, column].set_title(words, fontsize=8, color="0.35", pad=3)
    save(figure, output)


def _far_apart(model: Model, data: DatasetPart, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images (2,C,H,W) of a class whose poses are far apart, and the poses (2,J,D) of all their capsules."""
    rows = np.flatnonzero(data.labels == label)[:AMONG]
    images = data.images[rows].astype(np.float32) / 255
    lengths, poses = model.encode(images)
    right = lengths.argmax(axis=1) == label
    images, poses = images[right], poses[right]
    own = poses[:, label]
    distances = np.linalg.norm(own[:, None] - own[None], axis=2)
    first, second = np.unravel_index(distances.argmax(), distances.shape)
    pair = [int(first), int(second)]
    return images[pair], poses[pair]


def draw_deletion(results: Sequence[dict[str, Any]], output: Path) -> None:
    """Draw the curves of each result of `training faithfulness` that has them, side by side."""
    figure = Figure(figsize=(3.1 * len(results), 2.7), layout="constrained")
    cells = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    for cell, result in zip(cells, results, strict=True):
        found = result["faithfulness"]
        for name, (words, colour, line) in ORDERS.items():
            if name in found["curves"]:
                curve = found["curves"][name]
                cell.plot(np.linspace(0, 100, len(curve)), curve, line, color=colour, label=words)
        cell.set_title(f"{result['model']}, {found['images']} test images", fontsize=9)
        cell.set_xlabel("tiles with ink that are covered, %", fontsize=8)
        cell.tick_params(labelsize=8)
        cell.set_ylim(0, 1)
        cell.grid(color="0.9")
        cell.spines[["top", "right"]].set_visible(False)
    cells[0].set_ylabel("mean length of the capsule", fontsize=8)
    cells[0].legend(fontsize=8, frameon=False)
    save(figure, output)
