"""Make variants of an encoder that compute in fewer bits: graph in, graph out.

int8: the convolutions over many channels take 8-bit activations and weights, with one scale for each output channel,
and accumulate in 32 bits. Weights use seven of their eight bits: x86 processors without VNNI first add two products in
16 bits, where twice 255 × 127 overflows silently and twice 255 × 64 does not. So the answers are the same on all
processors (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "reduce range"). Other layers
gain nothing: a first convolution has one channel and a gathering one is depthwise, so 8 bits save no time and cost
accuracy; squash and routing depend on small differences (docs/performance.md).

fp16: convolutions and the nodes between them in half precision, everything after them in float32. It is for GPUs; most
CPUs compute fp16 in float32 and convert.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from capsnet.card import IMAGE
from capsnet.config import UserError
from model.export.graph_weights import Weights, drop_unused, fold_normalisations

# Convolutions over fewer channels than this stay in float32 in the int8 variant.
FEWEST_CHANNELS = 8
CALIBRATION_BATCH = 64
# Operators that the fp16 variant computes in half precision; only Conv has weights.
HALF = ("Conv", "Relu", "MaxPool")
# This one too where both of its inputs are in half precision: the sum of a residual block.
SUM = "Add"


class QuantizationError(UserError):
    """An encoder cannot be made in the requested precision."""


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Calibration images (N,C,H,W) in batches, as ONNX Runtime wants to be given them."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(
            [
                {IMAGE: images[first : first + CALIBRATION_BATCH]}
                for first in range(0, len(images), CALIBRATION_BATCH)
            ]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, or None."""
        return next(self._batches, None)


def to_int8(encoder: ModelProto, calibration: np.ndarray) -> ModelProto:
    """Return the encoder with its convolutions over many channels in 8 bits, in the QDQ form.

    The range of an activation is that of its values on the calibration images.

    Parameters
    ----------
    encoder
        In float32.
    calibration
        Training images (N,C,H,W), float32 in [0,1].

    Raises
    ------
    QuantizationError
        If no convolution of the encoder has `FEWEST_CHANNELS` channels.
    """
    folded = fold_normalisations(encoder)
    weights = Weights(folded.graph)
    wide = [
        node
        for node in folded.graph.node
        if node.op_type == "Conv" and weights[node.input[1]].shape[1] >= FEWEST_CHANNELS
    ]
    if not wide:
        raise QuantizationError(f"int8: no convolution of the encoder sees {FEWEST_CHANNELS} channels")
    for node in wide:  # in float32, where it was stored in fp16
        node.input[1] = weights.add(f"{node.name}.wide", weights[node.input[1]])
    drop_unused(folded.graph)
    # Without this property the quantizer warns that the graph was not prepared.
    helper.set_model_props(folded, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "encoder.onnx"
        quantize_static(
            folded,
            target,
            _Images(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=[node.name for node in wide],
        )
        return _with_metadata_of(onnx.load(target), encoder)


def to_fp16(encoder: ModelProto) -> ModelProto:
    """Return the encoder with convolutions, and the nodes between them, in fp16; inputs and outputs stay float32."""
    half = fold_normalisations(encoder)
    graph, weights = half.graph, Weights(half.graph)
    for node in [node for node in graph.node if node.op_type in HALF]:
        for index, name in enumerate(node.input[1:], start=1):
            values = weights[name].astype(np.float16)
            node.input[index] = weights.add(f"{node.name}.half.{index}", values)
    wide, halves = {IMAGE}, set[str]()
    nodes = []
    for node in graph.node:
        if node.op_type in HALF or (node.op_type == SUM and halves.issuperset(node.input)):
            nodes += _halve(node, halves)
        else:
            nodes += _widen(node, wide, halves)
            wide.update(node.output)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return half


def _halve(node: NodeProto, halves: set[str]) -> list[NodeProto]:
    """Return the node computing in fp16, behind a Cast where its input is in float32 alone."""
    source, result = node.input[0], node.output[0]
    cast = helper.make_node("Cast", [source], [f"{source}.half"], to=TensorProto.FLOAT16)
    nodes = [node] if source in halves else [cast, node]
    halves |= {source, result}
    node.input[0], node.output[0] = f"{source}.half", f"{result}.half"
    if node.op_type == SUM:
        node.input[1] = f"{node.input[1]}.half"
    return nodes


def _widen(node: NodeProto, wide: set[str], halves: set[str]) -> list[NodeProto]:
    """Return the node, behind Casts for those of its inputs that are in fp16 alone."""
    missing = [name for name in node.input if name in halves and name not in wide]
    wide.update(missing)
    casts = [helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT) for name in missing]
    return [*casts, node]


def _with_metadata_of(graph: ModelProto, original: ModelProto) -> ModelProto:
    """Give the graph the metadata of its original, and nothing else; return it."""
    del graph.metadata_props[:]
    graph.metadata_props.extend(original.metadata_props)
    return graph
