"""Draw the figures of docs/capsules.md into docs/images: `make figures`.

The lengths and poses are those of the model in artifacts/mnist for docs/images/seven.png; the routing is that of
`model.nn.routing`, on a toy of six capsules that vote in a plane, and that of two shipped models on two digits
that lie over each other.
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from capsnet.card import ModelCard
from capsnet.explanation.votes import RoutingGraph, votes_for
from capsnet.onnx_model import open_variants
from capsnet.preprocessing.pipeline import decode
from model.nn.functional import squash, squash_exponential
from model.nn.routing import dynamic_routing

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
INK, ACCENT, PALE = "#222222", "#c2410c", "#a8a29e"
matplotlib.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": PALE})

# Six votes for each of two parents: the first four agree about one parent, the last two about the other.
FIRST = [(0.8, 0.5), (0.9, 0.55), (0.75, 0.6), (0.85, 0.4), (-0.7, 0.6), (0.1, -0.9)]
SECOND = [(-0.8, 0.1), (0.5, 0.8), (0.2, -0.9), (-0.3, 0.8), (-0.6, -0.5), (-0.5, -0.7)]
# Two of the playground's samples, each moved by so many pixels from the middle.
PAIR, APART = (3, 4), 5
LEFT, RIGHT = (0.85, 0.15, 0.65), (0.1, 0.65, 0.25)


def draw_squash() -> None:
    """Length before and after each squash."""
    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    axes = figure.subplots()
    before = torch.linspace(0, 6, 200)[:, None]  # (N,1): vectors of one dimension
    axes.plot(before, squash(before), color=INK, label="CapsNet, equation 1")
    axes.plot(before, squash_exponential(before), color=ACCENT, label="Efficient-CapsNet, equation 3")
    axes.set(xlabel="length before", ylabel="length after", xlim=(0, 6), ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower right")
    save(figure, "capsules-squash.png")


def draw_pose() -> None:
    """One image, the lengths of its ten capsules, and their poses."""
    card, models = open_variants(ROOT / "artifacts" / "mnist")
    image = decode((IMAGES / "seven.png").read_bytes(), card.input)  # (C,H,W)
    lengths, poses = models["fp32"].encode(image[np.newaxis])  # (1,J), (1,J,D)
    figure = Figure(figsize=(8.0, 2.6), layout="constrained")
    seen, bars, heat = figure.subplots(1, 3, width_ratios=[1, 1, 2.2])
    seen.imshow(image[0], cmap="gray")
    seen.set(title="input", xticks=[], yticks=[])
    bars.barh(card.classes, lengths[0], color=[ACCENT if n == lengths.argmax() else PALE for n in range(10)])
    bars.set(title="length", xlim=(0, 1), ylabel="class")
    bars.invert_yaxis()
    shown = heat.imshow(poses[0], cmap="RdBu_r", vmin=-0.4, vmax=0.4, aspect="auto")
    heat.set(title="pose", xlabel="dimension", xticks=range(16), yticks=range(10), yticklabels=card.classes)
    figure.colorbar(shown, ax=heat)
    save(figure, "capsules-pose.png")


def draw_routing() -> None:
    """Draw the votes for the two parents after each iteration, drawn as strongly as they are coupled."""
    votes = torch.tensor([FIRST, SECOND])[None]  # (B,J,I,D)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    grid = figure.subplots(2, 3)
    for column, iterations in enumerate((1, 2, 4)):
        poses, coupling = dynamic_routing(votes, iterations)  # (B,J,D), (B,J,I)
        for row in range(2):
            axes = grid[row, column]
            for vote, weight in zip(votes[0, row].tolist(), coupling[0, row].tolist(), strict=True):
                axes.plot([0, vote[0]], [0, vote[1]], color=PALE, linewidth=0.5 + 7 * weight**2)
            across, down = poses[0, row].tolist()
            axes.annotate(
                "", (across, down), (0, 0), arrowprops={"color": ACCENT, "width": 2, "headwidth": 8}
            )
            axes.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal")
            axes.set_title(
                f"{iterations} iteration{'s' * (iterations > 1)}: length {poses[0, row].norm():.2f}"
            )
        for row, name in enumerate(("parent 1", "parent 2")):
            grid[row, 0].set_ylabel(name)
    save(figure, "capsules-routing.png")


def draw_votes() -> None:
    """Draw the places that vote for each of two overlapping digits, in each iteration of the routing."""
    figure = Figure(figsize=(8.4, 4.9), layout="constrained")
    cells = figure.subplots(2, 4)
    draw_places(cells[0], "mnist-capsnet", (1, 2, 3))
    draw_places(cells[1], "mnist-shared", (1, 3, 5))
    save(figure, "capsules-votes.png")


def draw_places(cells: np.ndarray, name: str, iterations: tuple[int, ...]) -> None:
    """Draw the input, and over it the places of a model in some iterations."""
    folder = ROOT / "artifacts" / name
    card = ModelCard.load(folder)
    if card.routing is None:
        raise ValueError(f"{folder}: has no routing")
    grid = card.routing.grid
    image = overlapping()
    history = RoutingGraph.open(card, folder).run(image[None])
    left, right = (votes_for(label, history, grid) for label in PAIR)
    sums = np.maximum(left.votes, 0) + np.maximum(right.votes, 0)  # (T,R,K)
    for cell in cells:
        cell.imshow(image[0], cmap="gray", alpha=1 if cell is cells[0] else 0.45)
        cell.set(xticks=[], yticks=[], facecolor="black")
    cells[0].set_title(name)
    down, across = np.mgrid[: grid.rows, : grid.columns] * grid.step + grid.first + (grid.field - 1) / 2
    for number, cell in zip((each - 1 for each in iterations), cells[1:], strict=True):
        share = np.maximum(left.votes[number], 0) / np.maximum(sums[number], 1e-9)  # (R,K)
        colours = share[..., None] * np.array(LEFT) + (1 - share[..., None]) * np.array(RIGHT)
        sizes = 90 * sums[number] / sums.max()
        cell.scatter(
            across.ravel(),
            down.ravel(),
            sizes.ravel(),
            colours.reshape(-1, 3),
            edgecolors="white",
            linewidths=0.3,
        )
        lengths = ", ".join(
            f"{label}: {each.lengths[number]:.2f}" for label, each in zip(PAIR, (left, right), strict=True)
        )
        cell.set_title(f"iteration {number + 1}, {lengths}", fontsize=8)


def overlapping() -> np.ndarray:
    """Two samples over each other, (C,H,W) in [0,1]."""
    with Image.open(ROOT / "app" / "static" / "samples" / "mnist.png") as strip:
        pixels = np.asarray(strip, np.float32) / 255  # (28,28*N)
    left, right = (pixels[:, 28 * label : 28 * (label + 1)] for label in PAIR)
    image = np.zeros((28, 28), np.float32)
    image[:, :-APART] = left[:, APART:]
    image[:, APART:] = np.maximum(image[:, APART:], right[:, :-APART])
    return image[None]


def save(figure: Figure, name: str) -> None:
    """Write a figure without what would change with the version that wrote it."""
    figure.savefig(IMAGES / name, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    draw_squash()
    draw_pose()
    draw_routing()
    draw_votes()
