"""One model's two graphs on one device: arrays in, arrays out. Knows nothing of HTTP or queues.

Legend: B batch, C channels, H height, W width, J class capsules, D pose dimensions, N poses to decode.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.device import Device
from app.errors import ModelError
from model.contract import IMAGE, LABEL, LENGTHS, POSES

Floats = NDArray[np.float32]


class Engine:
    """An encoder and its decoder, loaded; safe to call from several threads.

    Raises
    ------
    ModelError
        If a graph cannot be loaded; the message begins with the file.
    """

    def __init__(self, device: Device, encoder: Path, decoder: Path) -> None:
        self._encoder_file, self._decoder_file = encoder, decoder
        self._encoder = device.session(encoder)
        self._decoder = device.session(decoder)

    @property
    def provider(self) -> str:
        """The provider that the encoder's session says it runs on."""
        return str(self._encoder.get_providers()[0])

    @property
    def metadata(self) -> dict[Path, dict[str, str]]:
        """The metadata inside each graph, by file."""
        return {
            self._encoder_file: self._encoder.get_modelmeta().custom_metadata_map,
            self._decoder_file: self._decoder.get_modelmeta().custom_metadata_map,
        }

    def encode(self, images: Floats) -> tuple[Floats, Floats]:
        """Images (B,C,H,W) in [0,1] to lengths (B,J) and poses (B,J,D)."""
        lengths, poses = self._encoder.run([LENGTHS, POSES], {IMAGE: images})
        return lengths, poses

    def decode(self, poses: Floats, label: NDArray[np.int64]) -> Floats:
        """Poses (N,J,D) and the capsule to draw from, label (N,), to images (N,C,H,W) in [0,1]."""
        (images,) = self._decoder.run([IMAGE], {POSES: poses, LABEL: label})
        return np.asarray(images)

    def warm_up(self, image_shape: tuple[int, int, int], num_classes: int, pose_dim: int) -> None:
        """Run both graphs once, and see that they take and give what the card says.

        Raises
        ------
        ModelError
            If a graph fails, or an output has another shape.
        """
        file = self._encoder_file
        try:
            lengths, poses = self.encode(np.zeros((1, *image_shape), np.float32))
            _expect_shape(LENGTHS, lengths, (1, num_classes))
            _expect_shape(POSES, poses, (1, num_classes, pose_dim))
            file = self._decoder_file
            _expect_shape(IMAGE, self.decode(poses, np.zeros(1, np.int64)), (1, *image_shape))
        except Exception as error:  # noqa: BLE001  # the runtime's own exceptions share no other base
            raise ModelError(f"{file}: does not fit its card: {str(error).strip().splitlines()[0]}") from None


def _expect_shape(name: str, array: Floats, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"the output {name!r} has the shape {array.shape}, the card says {shape}")
