"""Share among competitors: the graph, PNG to array, answer to JSON, each in its fastest form."""

import io
import os

import numpy as np
import onnxruntime
import orjson
from PIL import Image


def open_session() -> onnxruntime.InferenceSession:
    """Return the encoder with one thread a run: on a few cores, parallel runs beat more threads a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["ENCODER"], options, ["CPUExecutionProvider"])


def read(data: bytes) -> np.ndarray:
    """Convert a grey PNG of the network's size to (1,H,W) float32 in [0,1]."""
    return np.asarray(Image.open(io.BytesIO(data)), np.float32)[None] / 255


def write(lengths: np.ndarray, poses: np.ndarray) -> bytes:
    """Return lengths (J,) and poses (J,D) as JSON."""
    return orjson.dumps({"lengths": lengths, "poses": poses}, option=orjson.OPT_SERIALIZE_NUMPY)


def classify(session: onnxruntime.InferenceSession, data: bytes) -> bytes:
    """Return the answer for a PNG."""
    lengths, poses = session.run(["lengths", "poses"], {"image": read(data)[None]})
    return write(lengths[0], poses[0])
