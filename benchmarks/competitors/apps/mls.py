"""Serve with MLServer: `python mls.py PORT`. A custom route for the form, the graph in threads of one process.

Its own protocol takes tensors, and its worker processes serve that protocol alone.
"""

import asyncio
import sys

from encoder import classify, open_session
from fastapi import Request, Response
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.handlers import custom_handler


class Encoder(MLModel):
    """PNG in, lengths and poses out."""

    async def load(self) -> bool:
        """Load the graph."""
        self.session = open_session()
        return True

    @custom_handler(rest_path="/classify")
    async def classify(self, request: Request) -> Response:
        """Answer one image."""
        async with request.form() as form:
            data = await form["file"].read()
        answer = await asyncio.to_thread(classify, self.session, data)
        return Response(answer, media_type="application/json")


async def main(port: int) -> None:
    """Serve until the process ends."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="encoder", implementation=Encoder)])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
