"""Draw the figures of docs/results.md: confusions, calibration, the worst mistakes, meanings of pose
dimensions, overlapping objects told apart, and robustness to deformations.

Legend: B images, J classes, D pose dimensions, P properties, C channels, H height, W width.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from training.evaluation.calibration import Bin
from training.evaluation.pose_meaning import CLEAR, PoseStatistics
from training.evaluation.robustness import AXES, RobustnessCurve
from training.reporting.reconstruction_plots import label_row, save, show

INK, ACCENT, PALE = "#222222", "#c2410c", "#a8a29e"
# Characters of a class's name beside a matrix, and of a caption's line.
LONGEST_NAME, LONGEST_LINE = 24, 12
# Colours of networks side by side, in this order.
LINES = (ACCENT, "#1d4ed8", "#15803d", "#7e22ce", INK)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters; three dots stand for the rest."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def draw_confusion(counts: np.ndarray, classes: Sequence[str], output: Path) -> None:
    """Draw how often each class (rows) was taken for each (columns), (J,J); right answers are pale."""
    wrong = counts.astype(float)
    np.fill_diagonal(wrong, np.nan)
    figure = Figure(figsize=(5.2, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1.0, np.nanmax(wrong) * 1.4))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                f"{count}",
                ha="center",
                va="center",
                fontsize=8,
                color=PALE if row == column else INK,
            )
    ticks, classes = range(len(classes)), [shortened(name, LONGEST_NAME) for name in classes]
    axes.set(xticks=ticks, yticks=ticks, xlabel="longest capsule", ylabel="class")
    axes.set_xticklabels(
        classes,
        rotation=45 if max(map(len, classes)) > 2 else 0,
        ha="right" if max(map(len, classes)) > 2 else "center",
    )
    axes.set_yticklabels(classes)
    save(figure, output)


def draw_reliability(bins: Sequence[Bin], error: float, output: Path) -> None:
    """Draw the share classified rightly, and the number of images, by the length of the longest capsule."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    middles = [(b.low + b.high) / 2 for b in bins]
    widths = [b.high - b.low for b in bins]
    filled = [b for b in bins if b.images]
    above.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
    above.errorbar(
        [b.length for b in filled],
        [b.accuracy for b in filled],
        yerr=np.transpose([b.interval for b in filled]),
        fmt="o",
        color=ACCENT,
        ecolor=PALE,
        markersize=4,
    )
    above.set(ylabel="share classified rightly", xlim=(0, 1), ylim=(0, 1.03))
    above.set_title(f"expected calibration error {100 * error:.2f} %", color=INK, fontsize="medium")
    below.bar(middles, [b.images for b in bins], width=[0.92 * w for w in widths], color=PALE)
    below.set(xlabel="length of the longest capsule", ylabel="images", yscale="symlog")
    save(figure, output)


def draw_mistakes(
    images: np.ndarray, drawn: np.ndarray, captions: Sequence[str], output: Path, columns: int = 10
) -> None:
    """Draw wrongly classified images (B,C,H,W), each above the drawing of its longest capsule, with a caption."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.86 * columns, 2.05 * rows), layout="constrained", facecolor="white")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        lines = "\n".join(shortened(line, LONGEST_LINE) for line in caption.split("\n"))
        show(grid[2 * row, column], images[index], title=lines)
        show(grid[2 * row + 1, column], drawn[index])
    save(figure, output)


def draw_meaning(measured: dict[str, PoseStatistics], properties: Sequence[str], output: Path) -> None:
    """Draw for each class held-out R squared, with its sign, of each property (P rows) by each dimension (D columns).

    Named dimensions are framed.
    """
    columns = min(5, len(measured))
    rows = -(-len(measured) // columns)
    figure = Figure(figsize=(2.5 * columns + 1.2, 1.55 * rows + 0.6), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(measured) :]:
        axes.set_axis_off()
    for axes, (label, each) in zip(grid.flat, measured.items(), strict=False):
        table = (each.sign * np.clip(each.alone, 0, 1)).T  # (P,D)
        heat = axes.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        axes.set_title(label, fontsize=9, pad=3)
        axes.set(yticks=range(len(properties)), xticks=range(0, table.shape[1], 3))
        axes.set_yticklabels(properties, fontsize=8)
        for meaning in each.label_dims(tuple(properties)):
            corner = (meaning.dim - 0.5, properties.index(meaning.meaning) - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=1.4))
    figure.supxlabel("pose dimension", fontsize=9)
    bar = figure.colorbar(heat, ax=grid, shrink=0.8)
    bar.set_label(f"held-out R², with the sign\nof the relation; framed: named (≥ {CLEAR})", fontsize=8)
    save(figure, output)


def draw_pairs(
    images: np.ndarray,
    parts: np.ndarray,
    drawn: np.ndarray,
    absent: np.ndarray,
    captions: Sequence[str],
    output: Path,
) -> None:
    """Draw pairs: images (B,C,H,W), their parts and the drawing of each (B,2,C,H,W), and that of an absent class."""
    rows = [images, parts[:, 0], drawn[:, 0], parts[:, 1], drawn[:, 1], absent]
    names = [
        "image",
        "first object",
        "drawn for it",
        "second object",
        "drawn for it",
        "drawn for a\nclass not there",
    ]
    figure = Figure(
        figsize=(0.86 * len(images) + 1, 0.92 * len(rows)), layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(rows), len(images), squeeze=False)
    for row, (shown, name) in enumerate(zip(rows, names, strict=True)):
        for column, image in enumerate(shown):
            show(grid[row, column], image, title=captions[column] if row == 0 else "")
        label_row(grid[row, 0], name)
    save(figure, output)


def draw_robustness(found: Mapping[str, RobustnessCurve], output: Path) -> None:
    """Draw the accuracy of networks, by name, on their test sets, then under each deformation at each strength.

    The range of the test set's deformations is shaded.
    """
    kinds = list(next(iter(found.values())).deformed)
    figure = Figure(figsize=(10.4, 2.9), layout="constrained", facecolor="white")
    grid = figure.subplots(1, 1 + len(kinds), sharey=True)
    for (name, each), color in zip(found.items(), cycle(LINES)):
        style = {"color": color, "marker": "o", "markersize": 3, "linewidth": 1.3}
        shares = list(each.accuracy.values())
        grid[0].plot(range(len(shares)), [100 * share for share in shares], label=name, **style)
        for axes, kind in zip(grid[1:], kinds, strict=True):
            strengths, right = zip(*each.deformed[kind], strict=True)
            axes.plot(strengths, [100 * share for share in right], **style)
    sets = list(next(iter(found.values())).accuracy)
    grid[0].set(
        xlim=(-0.4, len(sets) - 0.6), xticks=range(len(sets)), ylim=(0, 102), ylabel="classified rightly, %"
    )
    grid[0].set_xticklabels([each.replace("_", "\n") for each in sets])
    for axes, kind in zip(grid[1:], kinds, strict=True):
        axis = AXES[kind]
        low, high = min(axis.strengths), max(axis.strengths)
        axes.axvspan(max(low, -axis.tested), axis.tested, color=PALE, alpha=0.2, linewidth=0)
        axes.set(xlabel=axis.label, xlim=(low - 0.04 * (high - low), high + 0.04 * (high - low)))
    for axes in grid:
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(found), frameon=False)
    save(figure, output)


def draw_comparison(found: Mapping[str, RobustnessCurve], output: Path) -> None:
    """Draw the error of each network on each test set, in percent, as a small bar chart."""
    sets = list(next(iter(found.values())).accuracy)
    rows = [(name, dataset) for name in found for dataset in sets]
    errors = [100 * (1 - found[name].accuracy[dataset]) for name, dataset in rows]
    colors = [color for _, color in zip(found, cycle(LINES), strict=False) for _ in sets]
    figure = Figure(figsize=(5.4, 0.34 * len(rows) + 0.7), layout="constrained", facecolor="white")
    axes = figure.subplots()
    bars = axes.barh([f"{name}, {dataset}" for name, dataset in rows], errors, color=colors, height=0.62)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8, color=INK)
    axes.set(xlim=(0, 1.12 * max(errors) or 1), xlabel="classified wrongly, %")
    axes.invert_yaxis()
    axes.tick_params(labelsize=8, left=False)
    axes.xaxis.label.set_fontsize(8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    save(figure, output)
