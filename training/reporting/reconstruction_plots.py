"""Draw what the decoder makes of capsules, and how moving one dimension changes it."""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from capsnet.onnx_model import Model, open_variants
from training.data.datasets import DatasetPart

# The paper moves a dimension by ±REACH, in so many steps.
REACH, STEPS = 0.25, 11
# Fonts with Chinese, Japanese and Korean letters, which DejaVu lacks, where one is installed.
EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
)
INSTALLED = {each.name for each in font_manager.fontManager.ttflist}
# Names of classes are drawn as they are, also with a dollar sign.
matplotlib.rcParams.update(
    {
        "font.family": ["DejaVu Sans", *(name for name in EAST_ASIAN if name in INSTALLED)],
        "font.size": 9,
        "text.parse_math": False,
    }
)


def sweep(model: Model, poses: np.ndarray, label: int) -> np.ndarray:
    """Return the drawings as each dimension of one capsule moves: (D, STEPS, C, H, W), for an image's poses (J,D)."""
    dims = poses.shape[1]
    moved = np.broadcast_to(poses, (dims, STEPS, *poses.shape)).copy()  # (D,S,J,D)
    offsets = np.linspace(-REACH, REACH, STEPS, dtype=np.float32)
    for dim in range(dims):
        moved[dim, :, label, dim] += offsets
    images = model.decode(moved.reshape(-1, *poses.shape), np.full(dims * STEPS, label))
    return images.reshape(dims, STEPS, *images.shape[1:])


def most_visible(sheet: np.ndarray, count: int) -> list[int]:
    """Return the dimensions whose ends differ most in a sheet (D,S,C,H,W), in ascending order."""
    change = np.abs(sheet[:, -1] - sheet[:, 0]).mean(axis=(1, 2, 3))
    return sorted(np.argsort(change)[::-1][:count].tolist())


def reconstructions(
    folder: Path, data: DatasetPart, output: Path, *, rows: int = 5, example: int = 0
) -> None:
    """Draw one image of each class beside its reconstruction, and below them what the pose of one of them holds.

    Parameters
    ----------
    folder
        An exported model; raises CardError if it is invalid.
    data
        Images of the model's classes to choose from.
    output
        The PNG to write.
    rows
        How many dimensions to move, those that change the image most.
    example
        Index of the class whose pose is moved.
    """
    card, variants = open_variants(folder)
    model = variants["fp32"]
    shown = [typical_image(model, data, label) for label in range(len(card.classes))]
    images = data.images[shown].astype(np.float32) / 255
    lengths, poses = model.encode(images)
    winner = lengths.argmax(axis=1)
    drawn = model.decode(poses, winner)
    sheet = sweep(model, poses[example], int(winner[example]))
    dims = most_visible(sheet, rows)

    figure = Figure(figsize=(8.4, 0.75 * (rows + 2) + 0.6), layout="constrained", facecolor="white")
    halves = figure.add_gridspec(2, 1, height_ratios=[2.3, rows + 0.3])
    above, below = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    grid = above.subplots(2, len(shown))
    for column in range(len(shown)):
        show(grid[0, column], images[column], title=f"{lengths[column].max():.2f}")
        show(grid[1, column], drawn[column])
    for row, text in enumerate(("image\n(length)", "drawn from\nits capsule")):
        label_row(grid[row, 0], text)
    grid = below.subplots(rows, STEPS)
    for row, dim in enumerate(dims):
        for step, offset in enumerate(np.linspace(-REACH, REACH, STEPS)):
            show(grid[row, step], sheet[dim, step], title=f"{offset:+.2f}" if row == 0 else "")
        label_row(grid[row, 0], f"dimension {dim}")
    save(figure, output)


def perturbations(model: Model, data: DatasetPart, output: Path, *, example: int = 0) -> None:
    """Draw the paper's sheet: every dimension (rows) of one image's capsule moved through ±`REACH` (columns)."""
    image = data.images[[typical_image(model, data, example)]].astype(np.float32) / 255
    lengths, poses = model.encode(image)
    sheet = sweep(model, poses[0], int(lengths[0].argmax()))
    dims = len(sheet)
    figure = Figure(figsize=(0.62 * STEPS + 0.9, 0.62 * dims + 0.4), layout="constrained", facecolor="white")
    grid = figure.subplots(dims, STEPS, squeeze=False)
    for dim in range(dims):
        for step, offset in enumerate(np.linspace(-REACH, REACH, STEPS)):
            show(grid[dim, step], sheet[dim, step], title=f"{offset:+.2f}" if dim == 0 else "")
        label_row(grid[dim, 0], f"{dim}")
    save(figure, output)


def save(figure: Figure, output: Path) -> None:
    """Write a figure without metadata that changes with the version of Matplotlib."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Where no font has a letter, an empty square stands for it; docs/training.md says so.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure.savefig(output, dpi=110, metadata={"Software": None})


def typical_image(model: Model, data: DatasetPart, label: int) -> int:
    """Return the row of a typical image of a class: of the first hundred, the one with the median length."""
    rows = np.flatnonzero(data.labels == label)[:100]
    lengths, _ = model.encode(data.images[rows].astype(np.float32) / 255)
    return int(rows[np.argsort(lengths[:, label])[len(rows) // 2]])


def show(axes: matplotlib.axes.Axes, image: np.ndarray, title: str = "") -> None:
    """Show an image (C,H,W) in [0,1] on axes."""
    pixels = image.transpose(1, 2, 0) if image.shape[0] == 3 else image[0]  # of a stereo pair the left one
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8, color="0.35", pad=3)


def label_row(axes: matplotlib.axes.Axes, text: str) -> None:
    """Write the text to the left of the first image of a row."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", color="0.35", labelpad=6)
