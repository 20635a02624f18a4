"""Trace a PyTorch module as an ONNX graph, simplify it, and store large weights as fp16."""

import logging
import warnings

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common
from onnxscript import optimizer
from torch import Tensor, nn

from capsnet.config import UserError

TOLERANCE = 1e-4  # largest difference of any output from PyTorch's
BATCH_SIZES = (1, 7)
OPSET = 20
# Weights of this many numbers and more are stored as fp16 behind a Cast, which the runtime folds away when it loads.
LARGE_WEIGHT = 2**16
HALF = ".fp16"  # ends the names of those in the file


class ExportError(UserError):
    """A graph is not valid or does not compute what the network computes, or the target is not ours to replace."""


def trace(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str]) -> onnx.ModelProto:
    """Return the ONNX graph of a module with a free first axis; routing loops are unrolled."""
    batch = torch.export.Dim("batch", min=1, max=2**20)
    # Its warnings name operators of packages that are neither installed nor needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=[{0: batch}] * len(inputs),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    _simplify(program.model)  # type: ignore[union-attr]
    graph: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]
    _forget_origins(graph)
    return graph


def _simplify(graph: onnx_ir.Model) -> None:
    """Fold constants and remove repeated computations.

    Equal weights are not merged, because `model.export.to_pytorch` reads each by its name: the two normalisations whose
    sum ends a residual block get equal gradients, and so equal shifts. The exporter's own optimisation would also fold
    a normalisation into the convolution before it, from which it cannot be restored. ONNX Runtime does that at loading.
    """
    optimizer.inline(graph)
    optimizer.fold_constants(graph)
    onnx_ir.passes.Sequential(
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
    )(graph)


def _forget_origins(graph: onnx.ModelProto) -> None:
    """Remove the exporter's notes on the origin of each node: paths and stack of this machine."""
    del graph.metadata_props[:]
    for item in [
        graph.graph,
        *graph.graph.node,
        *graph.graph.value_info,
        *graph.graph.input,
        *graph.graph.output,
    ]:
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.graph.value_info[:]


def store_large_weights_as_half(graph: onnx.ModelProto) -> None:
    """Store large float32 weights as fp16 behind a Cast; inputs, outputs and arithmetic stay float32."""
    casts = []
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < LARGE_WEIGHT:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF))
        casts.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def check(file: str, graph: onnx.ModelProto) -> None:
    """Raise ExportError if onnx.checker finds a fault in the graph of a file."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{file}: {error}") from None
