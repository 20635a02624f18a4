"""Find where the votes for a class come from: read the course of the routing, where capsules have a place.

A capsule i below predicts the pose of class j: u_hat[j,i]. Its coupling c says which share of it class j gets. Its
agreement is the scalar product of the prediction with the pose of the class. A vote is the coupling times the part of
the prediction that points along the pose, which is the agreement divided by the pose's length. The votes for a class
add up to the norm of its weighted sum before the squash (without a bias of the class); the longer that, the longer the
capsule.

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
# How wide the vote of a place is drawn: the standard deviation of a bell over its field, in shares of the field's side.
SPREAD = 1 / 16
# Below this a capsule has no direction.
SHORTEST = 1e-4


class RoutingGraph:
    """The encoder with the outputs of its routing, from the bytes of both files one after the other."""

    def __init__(self, graph: bytes, threads: int = 1) -> None:
        from capsnet.onnx_model import session  # late, so that a missing runtime is told where it is needed

        self._session = session(graph, threads)

    @classmethod
    def open(cls, card: ModelCard, folder: Path, threads: int = 1) -> "RoutingGraph":
        """Open that of a model; raises CardError if it has none, or if a file is not the card's."""
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
        """Couplings and agreements (B,T,J,I) and lengths (B,T,J) from images (B,C,H,W) in [0,1]."""
        couplings, agreements, lengths = self._session.run(
            [COUPLINGS, AGREEMENTS, ROUTED_LENGTHS], {IMAGE: images}
        )
        return couplings, agreements, lengths


class LazyRouting:
    """The graph of a model's routing, opened when it is first asked for; safe to use from several threads."""

    def __init__(self, card: ModelCard, folder: Path) -> None:
        self._card, self._folder = card, folder
        self._graph: RoutingGraph | None = None
        self._fault: CardError | None = None
        self._opening = threading.Lock()

    def votes(self, image: Floats, label: int) -> "Votes":
        """Route an image (C,H,W), and read the votes for a class; raises CardError or OSError as `open` does."""
        with self._opening:
            if self._fault is not None:  # the files are not read again and again
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
    """Where the votes for one class come from in each of T iterations.

    `couplings` (T,R,K) is the mean coupling of the capsules at a place with the class, `votes` (T,R,K) the sum of their
    votes, and `lengths` (T,) the length of the class's capsule.
    """

    couplings: Floats
    votes: Floats
    lengths: Floats


def votes_for(label: int, history: tuple[Floats, Floats, Floats], grid: Grid) -> Votes:
    """The votes for a class, from what `RoutingGraph.run` gives for one image."""
    couplings, agreements, lengths = (each[0, :, label] for each in history)  # (T,I), (T,I), (T,)
    places = len(lengths), grid.rows, grid.columns, grid.types
    each_vote = couplings * agreements / np.maximum(lengths, SHORTEST)[:, None]
    return Votes(couplings.reshape(places).mean(axis=3), each_vote.reshape(places).sum(axis=3), lengths)


def heat(votes: Floats, grid: Grid, shape: tuple[int, int]) -> Floats:
    """Votes (R,K) spread over the pixels (H,W) that their places see, most of each in the middle of its field."""
    down, across = (
        _bells(count, side, grid) for count, side in zip((grid.rows, grid.columns), shape, strict=True)
    )
    spread: Floats = (down.T @ votes @ across).astype(np.float32)
    return spread


def _bells(places: int, side: int, grid: Grid) -> Floats:
    """For each place along a side the share of its vote that each pixel gets, (places, side)."""
    middles = grid.first + grid.step * np.arange(places) + (grid.field - 1) / 2
    far = (np.arange(side) - middles[:, None]) / (SPREAD * grid.field)
    bells = np.exp(-(far**2) / 2)
    shares: Floats = bells / bells.sum(axis=1, keepdims=True)
    return shares
