"""Read and add the weights of an ONNX graph as arrays, and fold normalisations into them."""

from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper


class Weights:
    """The float weights of a graph by the name that its nodes use.

    They are stored in float32 or, behind a Cast, in fp16 (see `model.export.tracing`).
    """

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._casts = {
            node.output[0]: node
            for node in graph.node
            if node.op_type == "Cast" and node.input[0] in self._stored
        }

    def __contains__(self, name: str) -> bool:
        return name in self._stored or name in self._casts

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the weight called `name`, float32."""
        cast = self._casts.get(name)
        tensor = self._stored[name if cast is None else cast.input[0]]
        return numpy_helper.to_array(tensor).astype(np.float32)

    def add(self, name: str, values: np.ndarray) -> str:
        """Store `values`, in their own type, under a new name; return the name.

        A weight is never changed in place: several nodes may read it.
        """
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        self._stored[name] = self._graph.initializer[-1]
        return name


def drop_unused(graph: GraphProto) -> None:
    """Remove the weights, and the Casts before them, that no node reads."""
    for kind in (graph.node, graph.initializer):  # a Cast first: it reads a weight
        read = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
        kept = [item for item in kind if not read.isdisjoint(_results(item))]
        del kind[:]
        kind.extend(kept)


def _results(item: NodeProto | TensorProto) -> list[str]:
    return list(item.output) if isinstance(item, NodeProto) else [item.name]


def fold_normalisations(model: ModelProto) -> ModelProto:
    """Return a copy without the BatchNormalizations whose factors a convolution beside them can take over.

    Residual networks normalise right after a convolution, which takes the factors. Efficient-CapsNet normalises *after*
    the ReLU, so the next convolution takes them; only without padding, because a padded zero is not normalised.
    """
    folded = ModelProto()
    folded.CopyFrom(model)
    graph, weights = folded.graph, Weights(folded.graph)
    for normalisation in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        before = [node for node in graph.node if normalisation.input[0] in node.output]
        if before and _gives_factors_alone(before[0], graph, weights):
            _fold_back(normalisation, before[0], weights)
            graph.node.remove(normalisation)
            continue
        readers = [node for node in graph.node if normalisation.output[0] in node.input]
        if len(readers) == 1 and _takes_factors(readers[0], weights):
            _fold(normalisation, readers[0], weights)
            graph.node.remove(normalisation)
    drop_unused(graph)
    return folded


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node, by name."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _takes_factors(node: NodeProto, weights: Weights) -> bool:
    """Tell whether this is a convolution without padding whose weights are known."""
    return (
        node.op_type == "Conv"
        and all(name in weights for name in node.input[1:])
        and not any(attributes(node).get("pads", ()))
        and attributes(node).get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )


def _gives_factors_alone(node: NodeProto, graph: GraphProto, weights: Weights) -> bool:
    """Tell whether this is a convolution whose weights are known and whose output one node reads."""
    readers = [other for other in graph.node if node.output[0] in other.input]
    return node.op_type == "Conv" and len(readers) == 1 and all(name in weights for name in node.input[1:])


def _factors(normalisation: NodeProto, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b (C,) of a normalisation that computes a x + b of each channel."""
    scale, shift, mean, variance = (weights[name] for name in normalisation.input[1:])
    a = scale / np.sqrt(variance + attributes(normalisation).get("epsilon", 1e-5))
    return a, shift - a * mean


def _bias(convolution: NodeProto, weights: Weights) -> np.ndarray | int:
    """Return the bias (O,) of a convolution, or 0 where it has none."""
    return weights[convolution.input[2]] if len(convolution.input) == 3 else 0


def _fold_back(normalisation: NodeProto, convolution: NodeProto, weights: Weights) -> None:
    """Have a convolution compute a (W x + c) + b as (a W) x + (a c + b), and give the normalisation's output.

    W is (O,I,H,W), a, b and c are one number an output channel.
    """
    a, b = _factors(normalisation, weights)
    kernel = weights[convolution.input[1]] * a[:, None, None, None]
    bias = (a * _bias(convolution, weights) + b).astype(np.float32)
    image = convolution.input[0]
    del convolution.input[:]
    convolution.input.extend(
        [
            image,
            weights.add(f"{convolution.name}.kernel", kernel),
            weights.add(f"{convolution.name}.bias", bias),
        ]
    )
    convolution.output[0] = normalisation.output[0]


def _fold(normalisation: NodeProto, convolution: NodeProto, weights: Weights) -> None:
    """Have a convolution compute W (a x + b) + c as (W a) x + (W b + c).

    W is (O,I,H,W), a and b are one number an input channel; O output channels, I input channels a group.
    """
    a, b = _factors(normalisation, weights)
    kernel, bias = weights[convolution.input[1]], _bias(convolution, weights)
    group = int(attributes(convolution).get("group", 1))
    of_output = np.arange(len(kernel)) // (len(kernel) // group)  # (O,): the group of each output channel
    a, b = (values.reshape(group, -1)[of_output, :, None, None] for values in (a, b))  # (O,I,1,1)
    shifted = bias + (kernel * b).sum(axis=(1, 2, 3))  # (O,)
    del convolution.input[:]
    convolution.input.extend(
        [
            normalisation.input[0],
            weights.add(f"{convolution.name}.kernel", kernel * a),
            weights.add(f"{convolution.name}.bias", shifted),
        ]
    )
