"""Run an exported model on arrays with ONNX Runtime's CPU provider.

`capsnet.load` uses it, and exports are verified and evaluated with it. The service has a faster engine of its own.
"""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

# ONNX Runtime sends telemetry unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime as ort
except ImportError as error:
    raise ImportError(
        f"ONNX Runtime cannot be imported ({error}). Install it with pip install onnxruntime, "
        "or for an NVIDIA GPU with pip install 'onnxruntime-gpu[cuda,cudnn]'; never both"
    ) from error

from capsnet.card import IMAGE, LABEL, LENGTHS, POSES, ModelCard
from capsnet.config import images_at_once
from capsnet.multi_object import overlay, top_classes


class Model(Protocol):
    """A model on any runtime, as evaluation needs it."""

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lengths (B,J) and poses (B,J,D) of images (B,C,H,W) in [0,1], all float32."""

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return images (B,C,H,W) in [0,1] of the classes (B,) with poses (B,J,D)."""


class OnnxModel:
    """An encoder and its decoder, from two files that were just written or that match their card.

    `threads` is the number of threads of a run, by default one for each core that the process may use.
    """

    def __init__(self, encoder: Path, decoder: Path, threads: int = 0) -> None:
        self._encoder = session(encoder, threads)
        self._decoder = session(decoder, threads)
        height, width = self._encoder.get_inputs()[0].shape[2:]
        classes = next(each.shape[1] for each in self._encoder.get_outputs() if each.name == LENGTHS)
        self._most = images_at_once(height, width, classes)

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return lengths (B,J) and poses (B,J,D) of images (B,C,H,W) in [0,1], all float32."""
        if len(images) <= self._most:
            lengths, poses = self._encoder.run([LENGTHS, POSES], {IMAGE: images})
            return lengths, poses
        starts = range(0, len(images), self._most)
        runs = [self.encode(images[start : start + self._most]) for start in starts]
        lengths, poses = map(np.concatenate, zip(*runs, strict=True))
        return lengths, poses

    def decode(self, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return images (B,C,H,W) in [0,1] of the classes (B,) with poses (B,J,D)."""
        (image,) = self._decoder.run([IMAGE], {POSES: poses, LABEL: label.astype(np.int64)})
        return np.asarray(image)


def reconstruct(model: Model, lengths: np.ndarray, poses: np.ndarray, objects: int = 1) -> np.ndarray:
    """Return drawings (B,C,H,W) of the `objects` longest capsules of each image, from lengths (B,J), poses (B,J,D)."""
    label = top_classes(lengths, objects)  # (B,K)
    drawn = [model.decode(poses, label[:, rank]) for rank in range(objects)]
    return overlay(np.stack(drawn, axis=1))  # (B,K,C,H,W) -> (B,C,H,W)


def open_variants(folder: Path, threads: int = 0) -> tuple[ModelCard, dict[str, OnnxModel]]:
    """Open an exported model: its card, and its variants by precision; raises CardError if a file has another hash."""
    card = ModelCard.load(folder)
    card.check_files(folder)
    decoder = folder / card.decoder.file
    return card, {
        precision: OnnxModel(folder / variant.encoder.file, decoder, threads)
        for precision, variant in card.variants.items()
    }


def session(graph: Path | bytes, threads: int) -> ort.InferenceSession:
    """Open a graph, from its file or its bytes, on the CPU; 0 threads mean one for each core."""
    options = ort.SessionOptions()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    options.intra_op_num_threads = threads or cores
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )
