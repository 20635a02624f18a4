"""Serve with LitServe: `python lit.py PORT`. Two inference processes, its fast queue, batches of up to 16."""

import sys

import litserve
import numpy as np
from encoder import open_session, read, write
from fastapi import Request, Response


class Encoder(litserve.LitAPI):
    """PNG in, lengths and poses out."""

    def setup(self, device: str) -> None:
        """Load the graph, once a process."""
        self.session = open_session()

    def decode_request(self, request: Request) -> np.ndarray:
        """Return the image in a multipart form."""
        return read(request["file"].file.read())

    def predict(self, images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Run a batch."""
        return list(zip(*self.session.run(["lengths", "poses"], {"image": np.stack(images)}), strict=True))

    def unbatch(self, output: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the output: the answers of a batch are already a list."""
        return output

    def encode_response(self, output: tuple[np.ndarray, np.ndarray]) -> Response:
        """Write the JSON."""
        return Response(write(*output), media_type="application/json")


if __name__ == "__main__":
    api = Encoder(max_batch_size=16, batch_timeout=0, api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        port=int(sys.argv[1]),
        host="127.0.0.1",
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
