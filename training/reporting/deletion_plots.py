"""A chart of deletion: how a capsule shortens as ever more of the ink is covered, in different orders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from training.reporting.reconstruction_plots import save

ORDERS = {
    "random": ("in a random order", "0.55", "--"),
    "votes": ("most votes first", "#1f6fb4", "-"),
    "occlusion": ("by occlusion", "#d9730d", "-"),
}


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
