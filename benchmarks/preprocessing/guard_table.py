"""Measure what the guard refuses: good images, photographs, and out-of-distribution images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from capsnet import guard
from capsnet.card import Guard
from capsnet.onnx_model import Model

BATCH = 500


@dataclass(frozen=True)
class Judged:
    """The answers of a model and its guard for N images.

    Attributes
    ----------
    label
        int64 (N,): class of the longest capsule.
    score
        (N,): anomaly score as a share of the class's threshold; above 1 is refused.
    accepted
        bool (N,): what the service answers.
    """

    label: np.ndarray
    score: np.ndarray
    accepted: np.ndarray

    @property
    def refused(self) -> float:
        """Return the share of the images that is refused."""
        return 1 - float(self.accepted.mean())


def judge(model: Model, thresholds: Guard, images: np.ndarray) -> Judged:
    """Classify images uint8 (N,1,h,w) and apply the guard."""
    parts = [
        _judge(model, thresholds, images[first : first + BATCH].astype(np.float32) / 255)
        for first in range(0, len(images), BATCH)
    ]
    return Judged(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _judge(model: Model, thresholds: Guard, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths, poses = model.encode(images)
    label = lengths.argmax(axis=1)
    distances = guard.distance(images, model.decode(poses, label))
    scores = guard.anomaly_scores(thresholds, distances, images, lengths) / np.array(thresholds.p95)[label]
    return label, scores, distances <= guard.thresholds(thresholds, images, lengths)


def auroc(good: np.ndarray, odd: np.ndarray) -> float:
    """Return the probability that an outlier (M,) scores higher than a good image (N,); ties count half."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, odd, "left") + np.searchsorted(ordered, odd, "right")
    return float(below.mean() / (2 * len(good)))


def table(name: str, good: Judged, others: dict[str, Judged]) -> str:
    """Return rows of Markdown: the kind, how many, how many were refused, and the score's AUROC against good images."""
    rows = [f"| test images | {name} | {len(good.score):,} | {good.refused:.1%} | |"]
    rows += [
        f"| {kind} | {name} | {len(judged.score):,} | {judged.refused:.1%} | {auroc(good.score, judged.score):.4f} |"
        for kind, judged in others.items()
    ]
    return "\n".join(rows)


def draw(groups: dict[str, Judged], output: Path) -> None:
    """Draw the distribution of the score of each group beside the threshold, from the 5th to the 95th percentile."""
    figure = Figure(figsize=(7, 0.3 * len(groups) + 0.9), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for row, judged in enumerate(groups.values()):
        low, quarter, middle, third, high = np.percentile(judged.score, (5, 25, 50, 75, 95)).clip(0.2, 100)
        colour = "tab:blue" if middle < 1 else "tab:red"
        axes.plot([low, high], [row, row], color=colour, linewidth=1)
        axes.plot([quarter, third], [row, row], color=colour, linewidth=5, solid_capstyle="butt")
        axes.plot(middle, row, "o", color="white", markersize=4, markeredgecolor=colour, clip_on=False)
    axes.axvline(1, color="black", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", xlim=(0.2, 100), xlabel="anomaly score ÷ threshold: right of the line is refused")
    axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 100], ["0.2", "0.5", "1", "2", "5", "10", "≥ 100"])
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=110)
