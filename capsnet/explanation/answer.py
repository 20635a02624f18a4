"""Make the fields of an explanation; the service and `capsnet.load` share them.

Legend: C channels, H height, W width, T iterations, R and K rows and columns of patches or of places.
"""

import typing
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsnet.card import Grid, ModelCard
from capsnet.explanation import occlusion
from capsnet.explanation.votes import Votes
from capsnet.explanation.votes import heat as votes_heat
from capsnet.png import png_base64
from capsnet.results import Method

Floats = NDArray[np.float32]


def choose_method(card: ModelCard, asked: Method | None) -> Method:
    """Return the method that a caller names, or by default votes where a model has them.

    Raises
    ------
    ValueError
        If there is no such method, or if the model has no votes, because its capsules have no place in the image.
    """
    if asked is None:
        return "occlusion" if card.routing is None else "votes"
    if asked not in typing.get_args(Method):
        raise ValueError(f"should be {' or '.join(typing.get_args(Method))}")
    if asked == "votes" and card.routing is None:
        raise ValueError("should be occlusion: the capsules of this model have no place in the image")
    return asked


def occlusion_fields(image: Floats, falls: Floats, patch: int, stride: int) -> dict[str, Any]:
    """Return the fields from the decreases (R,K) of a capsule's length with each patch of an image (C,H,W) covered."""
    height, width = image.shape[1:]
    heat = occlusion.heat(falls.ravel(), (height, width), patch, stride)
    return {
        "method": "occlusion",
        "patch": patch,
        "stride": stride,
        "falls": falls,
        "heat": heat,
        "input": png_base64(image),
        "map": png_base64(occlusion.overlay(image, heat)),
    }


def votes_fields(image: Floats, votes: Votes, grid: Grid) -> dict[str, Any]:
    """Return the fields from the votes for a class in an image (C,H,W); all iterations share one scale of colours."""
    height, width = image.shape[1:]
    heats = [votes_heat(each, grid, (height, width)) for each in votes.votes]
    most = max(float(np.abs(heat).max()) for heat in heats)
    maps = [png_base64(occlusion.overlay(image, heat, most)) for heat in heats]
    return {
        "method": "votes",
        "grid": asdict(grid),
        "iterations": [
            {"length": length, "couplings": couplings, "votes": given, "map": drawn}
            for length, couplings, given, drawn in zip(
                votes.lengths, votes.couplings, votes.votes, maps, strict=True
            )
        ],
        "heat": heats[-1],
        "input": png_base64(image),
        "map": maps[-1],
    }
