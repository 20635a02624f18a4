"""Restore the PyTorch network of an exported model: its graphs hold the weights under their names in the network.

So a model needs no checkpoint to be trained further, to be a teacher, to be attacked or to be inspected.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import Tensor

from capsnet.card import CardError, ModelCard
from model.architectures.registry import build
from model.export.ensemble import Ensemble
from model.export.exporter import Encoder
from model.export.tracing import HALF
from model.nn.layers import CapsuleNetwork

# The count of a normalisation's batches: it does not affect the output, so no graph has it.
COUNT = "num_batches_tracked"


def restore(folder: Path) -> tuple[CapsuleNetwork, ModelCard]:
    """Return the network of an exported model, in float32, on the CPU and in evaluation mode, and the model's card.

    It is an `Ensemble` where the model has several networks, or encodes mirrored images too.

    Large weights have been rounded to fp16 by the export: the network computes what the fp32 graphs compute. One
    architecture may fail: a `shared` matrix of fewer than 8,192 numbers (a pose of 16) is stored in another shape.

    Raises
    ------
    CardError
        If there is no model in `folder`, a file is not its card's, or the graphs lack a weight of the card's network.
    """
    card = ModelCard.load(folder)
    card.check_files(folder)
    encoder, decoder = folder / card.variants["fp32"].encoder.file, folder / card.decoder.file
    stored = _weights(encoder) | {f"network.decoder.{name}": w for name, w in _weights(decoder).items()}
    network = build(card.config)
    if card.members > 1 or card.mirrored:
        network = Ensemble([network] * card.members, mirrored=card.mirrored)
    whole = Encoder(network)
    state = whole.state_dict()
    for name, weight in state.items():
        if name.endswith(COUNT):
            continue
        if name not in stored or stored[name].shape != weight.shape:
            raise CardError(
                f"{folder}: its graphs have no weight {name.removeprefix('network.')} of the shape "
                f"{tuple(weight.shape)}: the export has folded it into others, or was another project's"
            )
        state[name] = stored[name]
    whole.load_state_dict(state)
    return network.eval(), card


def _weights(graph: Path) -> dict[str, Tensor]:
    """Return the weights stored in a graph, by name, in float32; raises CardError if the file is not a graph."""
    try:
        initializers = onnx.load(graph).graph.initializer
    except DecodeError as error:
        raise CardError(f"{graph}: is not an ONNX graph ({error})") from None
    # astype copies, which is needed: the bytes of the file are read-only.
    return {
        tensor.name.removesuffix(HALF): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in initializers
    }
