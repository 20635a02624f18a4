"""Locate the votes for a class: read the iterations of dynamic routing, where input capsules have a place in the image.

After Sabour, Frosst and Hinton 2017, https://arxiv.org/abs/1710.09829, procedure 1: an input capsule i predicts the
pose u_hat[j,i] of class j. Its coupling c[i,j] is the share that class j gets. The agreement is the scalar product of
u_hat[j,i] with the pose of the class. A vote is the coupling times the component of the prediction along the pose,
which is the agreement divided by the pose's length. The votes for a class add up to the norm of its weighted sum before
the squash, if the class has no bias. The larger that norm, the longer the capsule.

Legend: B images, C channels, H height, W width, T iterations, J class capsules, I input capsules, R and K rows and
columns of their grid.
"""

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsnet.card import (
    AGREEMENTS,
    COUPLINGS,
    IMAGE,
    ROUTED_LENGTHS,
    CardError,
    Grid,
    ModelCard,
)

Floats = NDArray[np.float32]
# Standard deviation of the Gaussian that draws a vote over the receptive field of its place, as a share of its side.
SPREAD = 1 / 16
# Smallest divisor: a shorter capsule has no direction.
MIN_LENGTH = 1e-4


class RoutingGraph:
    """The encoder with the outputs of its routing, from the bytes of its file and of the routing's file together."""

    def __init__(self, graph: bytes, threads: int = 1) -> None:
        from capsnet.onnx_model import (
            session,  # late, so that a missing runtime is reported where it is needed
        )

        self._session = session(graph, threads)

    @classmethod
    def open(cls, card: ModelCard, folder: Path, threads: int = 1) -> "RoutingGraph":
        """Open the graph of a model; raises CardError if the model has none, or if a file has another hash."""
        if card.routing is None:
            raise CardError(f"{folder}: the model has no graph of its routing")
        graphs = (card.variants["fp32"].encoder, card.routing.graph)
        parts = []
        for graph in graphs:
            parts.append((folder / graph.file).read_bytes())
            if hashlib.sha256(parts[-1]).hexdigest() != graph.sha256:
                raise CardError(f"{folder / graph.file}: is not the file its card speaks of")
        return cls(b"".join(parts), threads)

    def run(self, images: Floats) -> tuple[Floats, Floats, Floats]:
        """Return couplings and agreements (B,T,J,I) and lengths (B,T,J) for images (B,C,H,W) in [0,1]."""
        couplings, agreements, lengths = self._session.run(
            [COUPLINGS, AGREEMENTS, ROUTED_LENGTHS], {IMAGE: images}
        )
        return couplings, agreements, lengths


class LazyRouting:
    """The graph of a model's routing, opened at its first use; safe in several threads."""

    def __init__(self, card: ModelCard, folder: Path) -> None:
        self._card, self._folder = card, folder
        self._graph: RoutingGraph | None = None
        self._fault: CardError | None = None
        self._opening = threading.Lock()

    def votes(self, image: Floats, label: int) -> "Votes":
        """Return the votes for a class in an image (C,H,W); raises CardError or OSError if no graph can be opened."""
        with self._opening:
            if self._fault is not None:  # the files are read only once
                raise CardError(str(self._fault))
            try:
                self._graph = self._graph or RoutingGraph.open(self._card, self._folder)
            except CardError as error:
                self._fault = error.with_traceback(None)
                raise
        if self._card.routing is None:
            raise CardError(f"{self._folder}: the model has no graph of its routing")
        return votes_for(label, self._graph.run(image[None]), self._card.routing.grid)


class Votes(NamedTuple):
    """The votes for one class by their place, in each of T iterations.

    `couplings` (T,R,K) are the mean couplings of the capsules at a place with the class, `votes` (T,R,K) the sums of
    their votes, and `lengths` (T,) the lengths of the class capsule.
    """

    couplings: Floats
    votes: Floats
    lengths: Floats


def votes_for(label: int, history: tuple[Floats, Floats, Floats], grid: Grid) -> Votes:
    """Return the votes for a class from the outputs of `RoutingGraph.run` for one image."""
    couplings, agreements, lengths = (each[0, :, label] for each in history)  # (T,I), (T,I), (T,)
    places = len(lengths), grid.rows, grid.columns, grid.types
    each_vote = couplings * agreements / np.maximum(lengths, MIN_LENGTH)[:, None]
    return Votes(couplings.reshape(places).mean(axis=3), each_vote.reshape(places).sum(axis=3), lengths)


def heat(votes: Floats, grid: Grid, shape: tuple[int, int]) -> Floats:
    """Spread votes (R,K) over the pixels (H,W) of their receptive fields, most of each in the middle of its field."""
    down, across = (
        _gaussians(count, side, grid) for count, side in zip((grid.rows, grid.columns), shape, strict=True)
    )
    spread: Floats = (down.T @ votes @ across).astype(np.float32)
    return spread


def _gaussians(places: int, side: int, grid: Grid) -> Floats:
    """Return the share of a place's vote that each pixel along a side gets, (places, side): Gaussians of sum 1."""
    middles = grid.first + grid.step * np.arange(places) + (grid.field - 1) / 2
    far = (np.arange(side) - middles[:, None]) / (SPREAD * grid.field)
    gaussians = np.exp(-(far**2) / 2)
    shares: Floats = gaussians / gaussians.sum(axis=1, keepdims=True)
    return shares
