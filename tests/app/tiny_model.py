"""A model folder with two small real graphs, for tests that need a model but not a good one.

The encoder is one random matrix: poses = image · W, lengths their norms, squashed. The decoder masks, multiplies with
another and takes the sigmoid.

Legend: B batch, N poses, J class capsules, D pose dimensions, C channels, P pixels of all channels.
"""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from capsnet.card import (
    CARD_FILE,
    DECODER_FILE,
    IMAGE,
    LABEL,
    LENGTHS,
    METADATA_EXPORT_ID,
    METADATA_NAME,
    POSES,
    Graph,
    Guard,
    ModelCard,
    Variant,
    encoder_file,
    sha256,
)
from capsnet.config import InputSpec, ModelConfig

SIZE = 28
EXPORT_ID = "tiny-export"


def write_tiny_model(
    folder: Path,
    *,
    name: str = "mnist",
    num_classes: int = 10,
    pose_dim: int = 16,
    objects: int = 1,
    channels: int = 1,
    classes: tuple[str, ...] | None = None,
    export_id: str = EXPORT_ID,
    spread: float = 0.05,
    luck: int | None = None,
) -> ModelCard:
    """Write card, encoder and decoder into `folder`.

    The graphs carry `export_id`, the card says `EXPORT_ID`. The encoder's weights have the deviation `spread`.
    With `luck`, the seed of a coin, the encoder's runs fail in ONNX Runtime where the coin says so (see `runs_of`).
    """
    folder.mkdir(parents=True)
    metadata = {METADATA_NAME: name, METADATA_EXPORT_ID: export_id}
    _save(_encoder(num_classes, pose_dim, channels, spread, luck), folder / encoder_file("fp32"), metadata)
    _save(_decoder(num_classes, pose_dim, channels), folder / DECODER_FILE, metadata)
    usual, most = (1.0,) * num_classes, (1e4,) * num_classes
    card = ModelCard(
        name=name,
        version="1.0.0",
        config=ModelConfig(
            architecture="efficient", num_classes=num_classes, channels=channels, pose_dim=pose_dim
        ),
        classes=classes or tuple(map(str, range(num_classes))),
        input=InputSpec(
            channels=channels, height=SIZE, width=SIZE, preprocess="mnist" if channels == 1 else "resize"
        ),
        decoder=Graph(file=DECODER_FILE, sha256=sha256(folder / DECODER_FILE)),
        variants={
            "fp32": Variant(
                encoder=Graph(file=encoder_file("fp32"), sha256=sha256(folder / encoder_file("fp32"))),
                guard=Guard(distance=usual, ink=usual, p95=most, p99=most),
            )
        },
        export_id=EXPORT_ID,
        objects=objects,
    )
    write_card(folder, card)
    return card


def write_card(folder: Path, card: ModelCard, **changes: object) -> None:
    """Write the card, with these fields replaced."""
    (folder / CARD_FILE).write_text(dataclasses.replace(card, **changes).to_json(), encoding="utf-8")  # type: ignore[arg-type]


def _save(graph: onnx.GraphProto, path: Path, metadata: dict[str, str]) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _matrix(name: str, rows: int, columns: int, spread: float = 0.05) -> onnx.TensorProto:
    weights = np.random.default_rng(0).normal(0, spread, (rows, columns)).astype(np.float32)
    return numpy_helper.from_array(weights, name)


def _integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def runs_of(encoder: Path, count: int) -> str:
    """How the first runs of an encoder with `luck` go: a dot where one succeeds, a cross where it fails."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(encoder, options)
    outcomes = ""
    for _ in range(count):
        try:
            session.run(None, {IMAGE: np.zeros((1, 1, SIZE, SIZE), np.float32)})
            outcomes += "."
        except InvalidArgument:
            outcomes += "x"
    return outcomes


def _coin(seed: int) -> list[onnx.NodeProto]:
    """Nodes that take a zero out of a table of one, at the place 0 or 1: place 1 is an error of the runtime."""
    return [
        helper.make_node("RandomUniform", [], ["random"], shape=[1], low=0.0, high=2.0, seed=float(seed)),
        helper.make_node("Cast", ["random"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["zero"]),
        helper.make_node("Add", ["matched", "zero"], ["flat"]),
    ]


def _encoder(
    num_classes: int, pose_dim: int, channels: int, spread: float, luck: int | None
) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Flatten", [IMAGE], ["pixels"]),  # (B,P)
        helper.make_node("MatMul", ["pixels", "weights"], ["matched"]),  # (B,J*D)
        *(_coin(luck) if luck else [helper.make_node("Identity", ["matched"], ["flat"])]),
        helper.make_node("Reshape", ["flat", "shape"], [POSES]),  # (B,J,D)
        helper.make_node("ReduceL2", [POSES, "last"], ["norms"], keepdims=0),  # (B,J)
        helper.make_node("Tanh", ["norms"], [LENGTHS]),
    ]
    return helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["batch", channels, SIZE, SIZE])],
        [
            helper.make_tensor_value_info(LENGTHS, TensorProto.FLOAT, ["batch", num_classes]),
            helper.make_tensor_value_info(POSES, TensorProto.FLOAT, ["batch", num_classes, pose_dim]),
        ],
        [
            _matrix("weights", channels * SIZE * SIZE, num_classes * pose_dim, spread),
            _integers("shape", -1, num_classes, pose_dim),
            _integers("last", 2),
            *([numpy_helper.from_array(np.zeros(1, np.float32), "table")] if luck else []),
        ],
    )


def _decoder(num_classes: int, pose_dim: int, channels: int) -> onnx.GraphProto:
    nodes = [
        helper.make_node("OneHot", [LABEL, "depth", "off_on"], ["mask"]),  # (N,J)
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),  # (N,J,1)
        helper.make_node("Mul", [POSES, "wide_mask"], ["masked"]),  # (N,J,D)
        helper.make_node("Flatten", ["masked"], ["flat"]),  # (N,J*D)
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),  # (N,P)
        helper.make_node("Sigmoid", ["logits"], ["pixels"]),
        helper.make_node("Reshape", ["pixels", "shape"], [IMAGE]),  # (N,C,H,W)
    ]
    return helper.make_graph(
        nodes,
        "decoder",
        [
            helper.make_tensor_value_info(POSES, TensorProto.FLOAT, ["batch", num_classes, pose_dim]),
            helper.make_tensor_value_info(LABEL, TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["batch", channels, SIZE, SIZE])],
        [
            _matrix("weights", num_classes * pose_dim, channels * SIZE * SIZE),
            _integers("shape", -1, channels, SIZE, SIZE),
            _integers("last", 2),
            numpy_helper.from_array(np.array(num_classes, np.int64), "depth"),
            numpy_helper.from_array(np.array([0, 1], np.float32), "off_on"),
        ],
    )
