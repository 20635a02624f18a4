"""Run one model's two graphs on one device: arrays in, arrays out. Knows neither HTTP nor queues.

Legend: B batch, C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from capsnet.card import IMAGE, LABEL, LENGTHS, POSES

from ...errors import ModelError, first_line
from .device import Device
from .io_binding import BoundGraph, batch_sizes

# Images in one run of the encoder on a CPU: the activations of a batch of 64 no longer fit into its caches.
RUN = 16

Floats = NDArray[np.float32]
Run = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]


class Engine:
    """A loaded encoder and its decoder; safe to call from as many threads as the device has slots.

    On a GPU batches run in fixed sizes and buffers (`io_binding`), on a CPU as they come; the encoder
    then takes `RUN` images at a time.

    Parameters
    ----------
    max_batch
        The most images or poses in one call.

    Raises
    ------
    ModelError
        If a graph cannot be loaded; the message begins with the file.
    """

    def __init__(self, device: Device, encoder: Path, decoder: Path, max_batch: int = 64) -> None:
        self._encoder_file, self._decoder_file = encoder, decoder
        self._encoder = device.session(encoder, max_batch)
        self._decoder = device.session(decoder, max_batch)
        self._sizes = batch_sizes(max_batch) if device.is_gpu else [1]
        self._run_encoder = self._runner(device, self._encoder)
        self._run_decoder = self._runner(device, self._decoder)
        self._most = max_batch if device.is_gpu else RUN

    def _runner(self, device: Device, session: onnxruntime.InferenceSession) -> Run:
        """Return the function that runs a session on the device: inputs by name to outputs in their order."""
        if not device.is_gpu:
            return partial(session.run, None)
        return BoundGraph(session, "cuda", self._sizes, device.slots, device.records).run

    @property
    def provider(self) -> str:
        """Return the provider on which the encoder's session runs."""
        return str(self._encoder.get_providers()[0])

    @property
    def metadata(self) -> dict[Path, dict[str, str]]:
        """Return the metadata inside each graph, by file."""
        return {
            self._encoder_file: self._encoder.get_modelmeta().custom_metadata_map,
            self._decoder_file: self._decoder.get_modelmeta().custom_metadata_map,
        }

    def encode(self, images: Floats) -> tuple[Floats, Floats]:
        """Encode images (B,C,H,W) in [0,1] to lengths (B,J) and poses (B,J,D)."""
        if len(images) <= self._most:
            lengths, poses = self._run_encoder({IMAGE: images})
            return lengths, poses
        starts = range(0, len(images), self._most)
        runs = [self._run_encoder({IMAGE: images[start : start + self._most]}) for start in starts]
        lengths, poses = map(np.concatenate, zip(*runs, strict=True))
        return lengths, poses

    def decode(self, poses: Floats, label: NDArray[np.int64]) -> Floats:
        """Decode poses (N,J,D) and the capsules to draw from, label (N,), to images (N,C,H,W) in [0,1]."""
        (images,) = self._run_decoder({POSES: poses, LABEL: label})
        return np.asarray(images)

    def warm_up(self, image_shape: tuple[int, int, int], num_classes: int, pose_dim: int) -> None:
        """Run both graphs at every size of a batch, and check that inputs and outputs have the shapes of the card.

        Raises
        ------
        ModelError
            If a graph fails, or an output has another shape, or is not finite.
        """
        file = self._encoder_file
        try:
            _expect_outputs(self._encoder, [LENGTHS, POSES])
            _expect_outputs(self._decoder, [IMAGE])
            for size in self._sizes:
                file = self._encoder_file
                lengths, poses = self.encode(np.zeros((size, *image_shape), np.float32))
                _expect_shape(LENGTHS, lengths, (size, num_classes))
                if not np.isfinite(lengths).all():
                    raise ValueError("the lengths of a blank image are not finite")
                _expect_shape(POSES, poses, (size, num_classes, pose_dim))
                file = self._decoder_file
                drawn = self.decode(poses, np.zeros(size, np.int64))
                _expect_shape(IMAGE, drawn, (size, *image_shape))
        except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
            raise ModelError(f"{file}: does not fit its card: {first_line(error)}") from None


def _expect_outputs(session: onnxruntime.InferenceSession, names: list[str]) -> None:
    found = [node.name for node in session.get_outputs()]
    if found != names:
        raise ValueError(f"the outputs are {', '.join(found)}; expected {', '.join(names)}")


def _expect_shape(name: str, array: Floats, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"the output {name!r} has the shape {array.shape}, the card says {shape}")
