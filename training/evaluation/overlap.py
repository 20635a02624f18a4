"""Measure whether the votes for two overlapping digits separate as the routing goes on."""

from dataclasses import dataclass

import numpy as np

from capsnet.card import Grid
from capsnet.explanation.votes import RoutingGraph, votes_for

# Pixels that each digit is moved from the middle.
APART = 5


@dataclass(frozen=True)
class Overlap:
    """Of `pairs` of digits how many were `found`: both classes are the longest capsules in the last iteration.

    `gaps` has for each iteration how far the right digit's votes lie to the right of the left digit's, in pixels: the
    mean over the pairs that were found, of the difference of the votes' centres.
    """

    pairs: int
    found: int
    gaps: list[float]


def measure_overlap(
    routing: RoutingGraph, grid: Grid, images: np.ndarray, labels: np.ndarray, pairs: int
) -> Overlap:
    """Overlay pairs of images (N,C,H,W) in [0,1] of different classes, and route them."""
    generator = np.random.default_rng(0)
    gaps = []
    for _ in range(pairs):
        left = int(generator.integers(len(images)))
        right = int(generator.choice(np.flatnonzero(labels != labels[left])))
        image = overlapping(images[left], images[right])
        history = routing.run(image[None])
        classes = [int(labels[left]), int(labels[right])]
        if set(np.argsort(history[2][0, -1])[-2:].tolist()) == set(classes):
            centres = [_centres(votes_for(label, history, grid).votes, grid) for label in classes]
            gaps.append(centres[1] - centres[0])
    return Overlap(pairs, len(gaps), np.mean(gaps, axis=0).round(3).tolist() if gaps else [])


def overlapping(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Overlay two images (C,H,W), one moved to the left and the other to the right, by the lighter of their pixels."""
    moved = np.zeros_like(left), np.zeros_like(right)
    moved[0][..., :-APART] = left[..., APART:]
    moved[1][..., APART:] = right[..., :-APART]
    lighter: np.ndarray = np.maximum(*moved)
    return lighter


def _centres(votes: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the centre, from left to right, of the votes (T,R,K) for a class in each iteration: (T,) in pixels."""
    weight = np.maximum(votes, 0).sum(axis=1)  # (T,K)
    centres: np.ndarray = (weight * grid.step * np.arange(grid.columns)).sum(axis=1) / weight.sum(axis=1)
    return centres
