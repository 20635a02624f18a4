"""Write image arrays (C,H,W) of a network as 8-bit PNG files of the same size."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODES = {1: "L", 2: "LA", 3: "RGB"}


def encode_png(image: NDArray[np.floating[Any]]) -> bytes:
    """Return the PNG file of an image (C,H,W) in [0,1] with one to three channels."""
    channels, height, width = image.shape
    pixels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    interleaved = pixels.transpose(1, 2, 0).tobytes()  # (C,H,W) -> (H,W,C)
    file = io.BytesIO()
    Image.frombytes(MODES[channels], (width, height), interleaved).save(file, "PNG")
    return file.getvalue()


def png_base64(image: NDArray[np.floating[Any]]) -> str:
    """Return the PNG file of an image (C,H,W) as base64, for JSON."""
    return base64.b64encode(encode_png(image)).decode("ascii")


def sheet(images: Sequence[NDArray[np.floating[Any]]], columns: int) -> bytes:
    """Return one PNG file of images (C,H,W) in rows of `columns`, edge to edge."""
    channels, height, width = images[0].shape
    rows = len(images) // columns
    grid = np.stack(images).reshape(rows, columns, channels, height, width)
    return encode_png(grid.transpose(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width))
