"""Serve with BentoML: `python bento.py PORT`. Two workers, each running one image at a time.

On a CPU its adaptive batching gains nothing: a single image is as fast as an image of a batch.
"""

import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from encoder import open_session
from PIL.Image import Image


@bentoml.service(workers=2, traffic={"timeout": 60}, metrics={"enabled": False})
class Encoder:
    """PNG in, lengths and poses out."""

    def __init__(self) -> None:
        self.session = open_session()

    @bentoml.api(route="/classify")
    def classify(self, file: Image) -> dict[str, Any]:
        """Answer one image."""
        image = np.asarray(file, np.float32)[None, None] / 255
        lengths, poses = self.session.run(["lengths", "poses"], {"image": image})
        return {"lengths": lengths[0].tolist(), "poses": poses[0].tolist()}


if __name__ == "__main__":
    bentoml.serve(
        f"{Path(__file__).stem}:Encoder",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        blocking=True,
        working_dir=".",
    )
