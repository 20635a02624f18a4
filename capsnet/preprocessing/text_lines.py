"""Boxes in reading order: lines from top to bottom, and each line from left to right, also where lines slope."""

import numpy as np

NEIGHBOUR = 3.0  # heights, that a neighbour in the same line is at most away
IN_LINE = 0.5  # of the height, that a neighbour may be higher or lower
NEW_LINE = 0.55  # of the height: anything farther below begins another line


def reading_order(boxes: np.ndarray) -> list[list[int]]:
    """Return the numbers of boxes by line.

    Parameters
    ----------
    boxes
        float (n,4): left, top, right and bottom.
    """
    if not len(boxes):
        return []
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    height = boxes[:, 3] - boxes[:, 1]
    level = y - _slope(x, y, height) * x
    lines: list[list[int]] = []
    for number in np.argsort(level, kind="stable").tolist():
        if lines and level[number] - np.mean(level[lines[-1]]) < NEW_LINE * np.median(height[lines[-1]]):
            lines[-1].append(number)
        else:
            lines.append([number])
    return [sorted(line, key=lambda number: x[number]) for line in lines]


def _slope(x: np.ndarray, y: np.ndarray, height: np.ndarray) -> float:
    """Return how much lines fall from left to right: the median over neighbours, farther ones counting for more."""
    across, down = x[None] - x[:, None], y[None] - y[:, None]
    tall = np.minimum(height[None], height[:, None])
    near = (across > 0) & (across < NEIGHBOUR * tall) & (np.abs(down) < IN_LINE * tall)
    # The nearest neighbour to the right of each.
    nearest = np.where(near, across, np.inf).argmin(axis=1)
    own = np.flatnonzero(near[np.arange(len(x)), nearest])
    if len(own) == 0:
        return 0.0
    step = across[own, nearest[own]]
    slopes = down[own, nearest[own]] / step
    order = np.argsort(slopes)
    share = np.cumsum(step[order]) / step.sum()
    return float(slopes[order][int(np.searchsorted(share, 0.5))])
