"""Add to an exported model what shows its routing."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from capsnet.card import CardError
from training.cli.app import DataFolder, app, console
from training.data.datasets import load

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
    training = load(str(card.training["dataset"]), "train", data, spec=card.input)
    added = write_routing(network, model, training.images[:IMAGES].astype(np.float32) / 255)
    replace_card(model, dataclasses.replace(card, routing=added))
    console.print(f"{model}: {added.graph.file}, {added.iterations} iterations", highlight=False)
