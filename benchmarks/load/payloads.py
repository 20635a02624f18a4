"""Make the images that every benchmark sends: 512 different digits, as arrays, PNG files and bodies of requests."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
from PIL import Image

from training.data.datasets import load

COUNT = 512
BOUNDARY = "capsnetbenchmark"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "data"


def digits() -> np.ndarray:
    """Return (512,28,28) bytes, all different: the repository's sample of MNIST, and the same moved by a pixel."""
    sample = load("mnist", "test", SAMPLE, subset=True).images[:, 0]
    return np.concatenate([sample, np.roll(sample, 1, axis=2)])[:COUNT]


def floats(pixels: np.ndarray) -> np.ndarray:
    """Return the network's arrays (N,1,H,W) for pixels (N,H,W)."""
    return pixels[:, None].astype(np.float32) / 255


def png(pixels: np.ndarray) -> bytes:
    """Return a PNG file of pixels (H,W)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def multipart(files: Sequence[bytes]) -> bytes:
    """Return a form with these files, each in the field `file`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="digit.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    return b"".join(head + file + b"\r\n" for file in files) + f"--{BOUNDARY}--\r\n".encode()


def binary_tensors(images: np.ndarray) -> tuple[bytes, int]:
    """Return a request of the Open Inference Protocol with images (N,1,H,W) as raw bytes, and its JSON length."""
    data = images.tobytes()
    header = orjson.dumps(
        {
            "inputs": [
                {
                    "name": "image",
                    "shape": list(images.shape),
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(data)},
                }
            ],
            "outputs": [{"name": n, "parameters": {"binary_data": True}} for n in ("lengths", "poses")],
        }
    )
    return header + data, len(header)


def write_bodies(path: Path, bodies: Sequence[bytes]) -> Path:
    """Write bodies for `post.lua`, each after its length; return the path."""
    path.write_bytes(b"".join(b"%d\n%s" % (len(body), body) for body in bodies))
    return path
