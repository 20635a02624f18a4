"""A picture of interpolation: what the decoder draws between the poses of two images, beside a mix of their pixels."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from capsnet.card import ModelCard
from capsnet.onnx_model import Model
from training.data.datasets import DatasetPart
from training.reporting.reconstruction_plots import label_row, save, show

STEPS, ROWS = 9, 3
# Images of a class among which the two with the poses that differ most are taken.
AMONG = 60


def interpolation(model: Model, card: ModelCard, data: DatasetPart, output: Path) -> None:
    """Draw, for some classes, the way from one image to another along their poses, and along their pixels."""
    labels = np.linspace(0, len(card.classes) - 1, 2 * ROWS + 1).round().astype(int)[1::2]
    figure = Figure(figsize=(0.72 * (STEPS + 2) + 0.9, 0.8 * 2 * len(labels) + 0.4), layout="constrained")
    grid = figure.subplots(2 * len(labels), STEPS + 2, squeeze=False)
    for row, label in enumerate(labels.tolist()):
        images, poses = _far_apart(model, data, label)
        shares = np.linspace(0, 1, STEPS, dtype=np.float32)
        way = poses[0] + shares[:, None, None] * (poses[1] - poses[0])  # (S,J,D)
        drawn = model.decode(way, np.full(STEPS, label))
        mixed = images[0] + shares[:, None, None, None] * (images[1] - images[0])
        for line, pictures in enumerate((drawn, mixed)):
            cells = grid[2 * row + line]
            for cell, image in zip(cells, (images[0], *pictures, images[1]), strict=True):
                show(cell, image)
            label_row(cells[0], ("along the pose", "along the pixels")[line])
    for column, words in ((0, "from"), (STEPS + 1, "to")):
        grid[0, column].set_title(words, fontsize=8, color="0.35", pad=3)
    save(figure, output)


def _far_apart(model: Model, data: DatasetPart, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Two images (2,C,H,W) of a class whose poses are far apart, and the poses (2,J,D) of all capsules in each."""
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
