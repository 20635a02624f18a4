"""An exported model as arrays in, arrays out, on ONNX Runtime's CPU provider: the reference that exports are proven and
evaluated with. The service has an engine of its own, made for speed.
"""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

# ONNX Runtime reports its use to its makers unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime as ort
except ImportError as error:
    raise ImportError(
        f"ONNX Runtime cannot be imported ({error}). Install it with pip install 'capsnet-service[cpu]', "
        "or with 'capsnet-service[gpu]' for an NVIDIA GPU; never both"
    ) from error

from capsnet.card import IMAGE, LABEL, LENGTHS, POSES, ModelCard
from capsnet.multi_object import overlay, top_classes


class Model(Protocol):
    """What evaluation needs of a model, whatever runs it."""

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths (B,J) and poses (B,J,D) of images (B,C,H,W) in [0,1], all float32."""

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Images (B,C,H,W) in [0,1] from poses (B,J,D) and the classes (B,) to draw."""


class OnnxModel:
    """An encoder and its decoder, from two files that are known to be sound: just written, or checked by their card.

    A run takes `threads` threads, by default one for each core that the process may use.
    """

    def __init__(self, encoder: Path, decoder: Path, threads: int = 0) -> None:
        self._encoder = session(encoder, threads)
        self._decoder = session(decoder, threads)

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths (B,J) and poses (B,J,D) of images (B,C,H,W) in [0,1], all float32."""
        lengths, poses = self._encoder.run([LENGTHS, POSES], {IMAGE: images})
        return lengths, poses

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Images (B,C,H,W) in [0,1] from poses (B,J,D) and the classes (B,) to draw."""
        (image,) = self._decoder.run([IMAGE], {POSES: poses, LABEL: label.astype(np.int64)})
        return np.asarray(image)


def reconstruct(model: Model, lengths: np.ndarray, poses: np.ndarray, objects: int = 1) -> np.ndarray:
    """What the `objects` longest capsules of each image draw together, (B,C,H,W), from lengths (B,J), poses (B,J,D)."""
    label = top_classes(lengths, objects)  # (B,K)
    drawn = [model.decode(poses, label[:, rank]) for rank in range(objects)]
    return overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)


def open_variants(folder: Path, threads: int = 0) -> tuple[ModelCard, dict[str, OnnxModel]]:
    """The card of an exported model and its variants by precision; raises CardError if a file is not the card's."""
    card = ModelCard.load(folder)
    card.check_files(folder)
    decoder = folder / card.decoder.file
    return card, {
        precision: OnnxModel(folder / variant.encoder.file, decoder, threads)
        for precision, variant in card.variants.items()
    }


def session(graph: Path | bytes, threads: int) -> ort.InferenceSession:
    """Open a graph, from its file or its bytes, on the CPU; with 0 threads one for each core."""
    options = ort.SessionOptions()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    options.intra_op_num_threads = threads or cores
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )
