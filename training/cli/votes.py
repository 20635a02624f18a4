"""Add the routing graph to an exported model, and measure what the routing does."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from capsnet.card import CardError, ModelCard
from capsnet.explanation.votes import RoutingGraph
from training.cli.app import DataFolder, app, console
from training.data.datasets import first_scenes, load

# Images for the comparison with PyTorch.
IMAGES = 50


@app.command()
def routing(
    model: Annotated[Path, typer.Argument(help="Exported model whose capsules have a place.")],
    data: DataFolder = None,
) -> None:
    """Write `routing.onnx` beside an exported encoder, compared with PyTorch, and name it in the card.

    The encoder and the decoder stay as they are, byte for byte. A new export has this file already.
    """
    from model.export.routing_graph import write_routing
    from model.export.to_pytorch import restore
    from model.nn.layers import GridCapsuleNetwork
    from training.evaluation.evaluate import replace_card

    network, card = restore(model)
    if not isinstance(network, GridCapsuleNetwork):
        raise CardError(f"{model}: the capsules of {card.config.architecture!r} have no place in the image")
    training = first_scenes(load(str(card.training["dataset"]), "train", data, spec=card.input))
    added = write_routing(network, model, training.images[:IMAGES].astype(np.float32) / 255)
    replace_card(model, dataclasses.replace(card, routing=added))
    console.print(f"{model}: {added.graph.file}, {added.iterations} iterations", highlight=False)


@app.command()
def overlap(
    model: Annotated[Path, typer.Argument(help="Exported model whose capsules have a place.")],
    data: DataFolder = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of test images.")] = 500,
) -> None:
    """Measure whether the votes for two overlapping digits come apart as the routing goes on."""
    from training.evaluation.overlap import measure_overlap

    card = ModelCard.load(model)
    graph = RoutingGraph.open(card, model)
    if card.routing is None:
        raise CardError(f"{model}: the model has no graph of its routing")
    test = load(str(card.training["dataset"]), "test", data, spec=card.input)
    images = test.images.astype(np.float32) / 255
    found = measure_overlap(graph, card.routing.grid, images, test.labels, pairs)
    gaps = ", ".join(f"{gap:.2f}" for gap in found.gaps)
    console.print(
        f"{found.found} of {found.pairs} pairs read; pixels apart by iteration: {gaps}", highlight=False
    )
