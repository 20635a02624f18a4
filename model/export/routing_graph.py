"""Export the iterations of the routing without a second copy of the weights.

The file `routing.onnx` holds the nodes and outputs that the encoder lacks, and refers to the encoder's tensors by their
names. Its bytes follow those of the encoder: concatenated protobuf messages are one message whose lists are joined
(https://protobuf.dev/programming-guides/encoding/#last-one-wins). The encoder's own file does not change, so a request
that does not ask for the routing costs no more.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from capsnet.card import (
    AGREEMENTS,
    COUPLINGS,
    IMAGE,
    ROUTED_LENGTHS,
    ROUTING_FILE,
    Graph,
    Routing,
    encoder_file,
    sha256,
)
from capsnet.explanation.votes import RoutingGraph
from model.export.tracing import (
    BATCH_SIZES,
    TOLERANCE,
    ExportError,
    check,
    store_large_weights_as_half,
    trace,
)
from model.nn.layers import GridCapsuleNetwork

# Prefix of the added names, so that none is a name in the encoder.
PREFIX = "routing/"
# An added constant of more numbers would be a weight, and weights must come from the encoder.
MOST_NUMBERS = 64


class History(nn.Module):
    """The part of the network that `routing.onnx` adds to the encoder."""

    def __init__(self, network: GridCapsuleNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.network.history(image)


def write_routing(network: GridCapsuleNetwork, folder: Path, images: np.ndarray) -> Routing:
    """Write `routing.onnx` beside the encoder in `folder`, after a comparison with PyTorch.

    Parameters
    ----------
    network
        In evaluation mode, with the weights of the encoder.
    images
        Real images (N,C,H,W), float32 in [0,1], at least 7.

    Raises
    ------
    ExportError
        If the sum of the two files is not a valid graph, or differs from PyTorch by more than `TOLERANCE`.
    """
    encoder = (folder / encoder_file("fp32")).read_bytes()
    image = torch.zeros(2, *network.config.image_shape)
    whole = trace(History(network), {IMAGE: image}, [COUPLINGS, AGREEMENTS, ROUTED_LENGTHS])
    store_large_weights_as_half(whole)
    extra = addition(onnx.load_from_string(encoder), whole)
    if any(np.prod(tensor.dims) > MOST_NUMBERS for tensor in extra.graph.initializer):
        raise ExportError(f"{ROUTING_FILE}: would hold weights, because the encoder is of another network")
    added = extra.SerializeToString()
    check(ROUTING_FILE, onnx.load_from_string(encoder + added))
    graph = RoutingGraph(encoder + added)
    for size in BATCH_SIZES:
        _compare(network, graph, images[:size])
    (folder / ROUTING_FILE).write_bytes(added)
    return Routing(
        graph=Graph(file=ROUTING_FILE, sha256=sha256(folder / ROUTING_FILE)),
        grid=network.grid,
        iterations=network.digits.iterations,
    )


def addition(encoder: ModelProto, whole: ModelProto) -> ModelProto:
    """Return the nodes, constants and outputs that only `whole` has; shared tensors keep the encoder's names.

    Two tensors are the same if they are equal constants, or come from the same operator on the same tensors.
    """
    known = {key: name for name, key in _keys(encoder).items()}
    keys = _keys(whole)
    kept = {node.name for node in whole.graph.output}
    names = {name: name if name in kept else known.get(key, PREFIX + name) for name, key in keys.items()}
    names[""] = ""  # an omitted optional input
    added = ModelProto()
    for tensor in whole.graph.initializer:
        if keys[tensor.name] not in known:
            copied = added.graph.initializer.add()
            copied.CopyFrom(tensor)
            copied.name = names[tensor.name]
    for node in whole.graph.node:
        if all(keys[output] in known and output not in kept for output in node.output):
            continue
        copied_node = added.graph.node.add()
        copied_node.CopyFrom(node)
        copied_node.name = PREFIX + node.name
        copied_node.input[:] = [names[each] for each in node.input]
        copied_node.output[:] = [names[each] for each in node.output]
    added.graph.output.extend(whole.graph.output)
    return added


def _keys(model: ModelProto) -> dict[str, bytes]:
    """Return for each tensor of a graph a digest of how it is computed from the graph's inputs."""
    keys = {node.name: _digest(b"input", node.name.encode()) for node in model.graph.input}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        keys[tensor.name] = _digest(str((values.dtype, values.shape)).encode(), values.tobytes())
    for node in model.graph.node:
        attributes = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        inputs = [keys[name] if name else b"" for name in node.input]
        for index, output in enumerate(node.output):
            keys[output] = _digest(
                node.domain.encode(), node.op_type.encode(), str(index).encode(), *attributes, *inputs
            )
    return keys


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _compare(network: GridCapsuleNetwork, graph: RoutingGraph, images: np.ndarray) -> None:
    """Raise ExportError if any output differs from PyTorch's by more than `TOLERANCE` on images (B,C,H,W)."""
    with torch.inference_mode():
        expected = [each.numpy() for each in network.history(torch.from_numpy(images))]
    for name, want, got in zip(
        (COUPLINGS, AGREEMENTS, ROUTED_LENGTHS), expected, graph.run(images), strict=True
    ):
        difference = float(np.abs(got - want).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{name!r} differs from PyTorch by {difference:.3g}; at most {TOLERANCE:g} is allowed"
            )
