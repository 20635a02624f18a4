"""Serve with Ray Serve: `python ray_replicas.py PORT`. Two replicas behind its proxy, many requests in each."""

import signal
import sys

import ray
from encoder import classify, open_session
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Encoder:
    """PNG in, lengths and poses out."""

    def __init__(self) -> None:
        self.session = open_session()

    async def __call__(self, request: Request) -> Response:
        """Answer one image."""
        async with request.form() as form:
            data = await form["file"].read()
        return Response(classify(self.session, data), media_type="application/json")


if __name__ == "__main__":
    # Without "local" Ray looks for a cluster whose address an earlier run has left.
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])},
        logging_config={"enable_access_log": False},
    )
    serve.run(Encoder.bind(), route_prefix="/classify")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
