"""Make the fields of an answer about the evidence for a class; the service and `capsnet.load` share them.

Legend: C channels, H height, W width, T iterations, R and K rows and columns of patches or of places.
"""

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsnet.card import Grid, ModelCard
from capsnet.explanation import occlusion
from capsnet.explanation.votes import Votes
from capsnet.explanation.votes import heat as votes_heat
from capsnet.png import png
from capsnet.results import Method

Floats = NDArray[np.float32]


def choose_method(card: ModelCard, asked: Method | None) -> Method:
    """The method that was asked for or, if none was, votes where a model has them.

    Raises
    ------
    ValueError
        If votes are asked of a model whose capsules have no place; says what to ask instead.
    """
    if asked == "votes" and card.routing is None:
        raise ValueError("should be occlusion: the capsules of this model have no place in the image")
    return asked or ("occlusion" if card.routing is None else "votes")


def occlusion_fields(image: Floats, falls: Floats, patch: int, stride: int) -> dict[str, Any]:
    """Fields of an answer from the falls (R,K) of a capsule with each patch of an image (C,H,W) covered."""
    height, width = image.shape[1:]
    heat = occlusion.heat(falls.ravel(), (height, width), patch, stride)
    return {
        "method": "occlusion",
        "patch": patch,
        "stride": stride,
        "falls": falls,
        "heat": heat,
        "input": _base64(image),
        "map": _base64(occlusion.overlay(image, heat)),
    }


def votes_fields(image: Floats, votes: Votes, grid: Grid) -> dict[str, Any]:
    """Fields of an answer from the votes for a class in an image (C,H,W); all iterations have one scale of colours."""
    height, width = image.shape[1:]
    heats = [votes_heat(each, grid, (height, width)) for each in votes.votes]
    most = max(float(np.abs(heat).max()) for heat in heats)
    maps = [_base64(occlusion.overlay(image, heat, most)) for heat in heats]
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
        "input": _base64(image),
        "map": maps[-1],
    }


def _base64(image: Floats) -> str:
    return base64.b64encode(png(image)).decode("ascii")
