"""Measure whether what an explanation ranks first is evidence: cover inked tiles in its order, and in random orders.

Legend: B images, C channels, H height, W width, S shares of the tiles that are covered.
"""

from dataclasses import dataclass

import numpy as np

from capsnet.card import Grid
from capsnet.explanation import occlusion
from capsnet.explanation.votes import RoutingGraph, heat, votes_for
from capsnet.onnx_model import Model

# Side of a tile in pixels, orders that are random for each image, and the mean light of a tile that has ink.
TILE, RANDOM, INK = 4, 6, 0.05
SHARES = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Faithfulness:
    """Mean lengths over the steps of a deletion: `ranked` by occlusion, by `votes` where there are any, and `random`.

    `lower` and `votes_lower` are the shares of images in which that order is below the random one. `curves` has the
    mean length at each share of the tiles, from none to all, by order.
    """

    images: int
    ranked: float
    random: float
    lower: float
    votes: float | None
    votes_lower: float | None
    curves: dict[str, list[float]]


def measure_faithfulness(
    model: Model, images: np.ndarray, routing: RoutingGraph | None = None, grid: Grid | None = None
) -> Faithfulness:
    """Cover the tiles of images (B,C,H,W) in [0,1] in each order, and read the longest capsule of each image."""
    generator = np.random.default_rng(0)
    curves: dict[str, list[np.ndarray]] = {}
    means: dict[str, list[float]] = {}
    for image in images:
        for name, lengths in _deleted(model, image, generator, routing, grid).items():
            means.setdefault(name, []).append(float(lengths[:, 1:].mean()))
            steps = np.linspace(0, 1, lengths.shape[1])
            curve = np.mean([np.interp(SHARES, steps, each) for each in lengths], axis=0)  # (S,)
            curves.setdefault(name, []).append(curve)
    areas = {name: np.array(each) for name, each in means.items()}
    lower = {name: float((each < areas["random"]).mean()) for name, each in areas.items()}
    return Faithfulness(
        images=len(images),
        ranked=float(areas["occlusion"].mean()),
        random=float(areas["random"].mean()),
        lower=lower["occlusion"],
        votes=float(areas["votes"].mean()) if "votes" in areas else None,
        votes_lower=lower.get("votes"),
        curves={name: np.mean(each, axis=0).round(4).tolist() for name, each in curves.items()},
    )


def _deleted(
    model: Model,
    image: np.ndarray,
    generator: np.random.Generator,
    routing: RoutingGraph | None,
    grid: Grid | None,
) -> dict[str, np.ndarray]:
    """Return the lengths (orders, steps) of an image's longest capsule by order, from the whole image on."""
    lengths, _ = model.encode(image[None])
    label = int(lengths[0].argmax())
    height, width = image.shape[1:]
    patch, stride = occlusion.sizes(height, width)
    falls = lengths[0, label] - model.encode(occlusion.covered(image, patch, stride))[0][:, label]
    maps = {"occlusion": occlusion.heat(falls, (height, width), patch, stride)}
    if routing is not None and grid is not None:
        votes = votes_for(label, routing.run(image[None]), grid).votes[-1]
        maps["votes"] = heat(votes, grid, (height, width))
    inked = np.flatnonzero(occlusion.tiles(image.mean(axis=0), TILE) > INK)
    orders = {name: [_ranked(inked, values)] for name, values in maps.items()}
    orders["random"] = [generator.permutation(inked) for _ in range(RANDOM)]
    whole = lengths[0, label]
    return {
        name: np.array([[whole, *_lengths(model, image, order, label)] for order in each])
        for name, each in orders.items()
    }


def _ranked(inked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the tiles with ink, those with the most heat (H,W) first."""
    ranked: np.ndarray = inked[np.argsort(-occlusion.tiles(values, TILE)[inked])]
    return ranked


def _lengths(model: Model, image: np.ndarray, order: np.ndarray, label: int) -> np.ndarray:
    lengths: np.ndarray = model.encode(occlusion.deletions(image, order, TILE))[0][:, label]
    return lengths
