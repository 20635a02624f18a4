"""What every contender has in common: the graph, a PNG to an array, an answer to JSON, each in its fastest form."""

import io
import os

import numpy as np
import onnxruntime
import orjson
from PIL import Image


def open_session() -> onnxruntime.InferenceSession:
    """The encoder, one thread a run: on a few cores more runs at a time beat more threads a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["ENCODER"], options, ["CPUExecutionProvider"])


def read(data: bytes) -> np.ndarray:
    """A grey PNG of the network's size to (1,H,W) float32 in [0,1]."""
    return np.asarray(Image.open(io.BytesIO(data)), np.float32)[None] / 255


def write(lengths: np.ndarray, poses: np.ndarray) -> bytes:
    """Lengths (J,) and poses (J,D) as JSON."""
    return orjson.dumps({"lengths": lengths, "poses": poses}, option=orjson.OPT_SERIALIZE_NUMPY)


def classify(session: onnxruntime.InferenceSession, data: bytes) -> bytes:
    """A PNG to its answer."""
    lengths, poses = session.run(["lengths", "poses"], {"image": read(data)[None]})
    return write(lengths[0], poses[0])
