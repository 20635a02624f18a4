"""Serve with FastAPI as usually written: `uvicorn usual_fastapi:app --workers 2`, with all defaults."""

import io
import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["ENCODER"])


@app.post("/classify")
def classify(file: UploadFile) -> dict[str, Any]:
    """Return the lengths and poses of a PNG."""
    image = np.asarray(Image.open(io.BytesIO(file.file.read())), np.float32) / 255
    lengths, poses = session.run(None, {"image": image[None, None]})
    return {"lengths": lengths[0].tolist(), "poses": poses[0].tolist()}
