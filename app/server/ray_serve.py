"""The same application on a Ray cluster, as many replicas as its load asks for: `serve run app.server.ray_serve:app`.

Ray Serve listens, spreads requests over the replicas, starts more of them under load and replaces those that are lost.
Each replica is the whole service on one core, with the settings that its environment has; the address, the port and the
number of processes are Ray's affair. Needs the extra `ray`.
"""

from fastapi import FastAPI
from ray import serve

from ..api.application import create_app
from ..inference.runtime.device import available_cores
from ..observability import logging_config
from ..settings import Settings

# A replica with so many requests under way is busy, and another one is started. A batch of them fills a core well.
BUSY = 16

# Requests that a replica is given at a time. More wait where they were accepted and go to the first free replica.
MOST_UNDER_WAY = 64


def build() -> FastAPI:
    """The application of one replica; raises StartupError as `create_app` does."""
    settings = Settings.load()
    logging_config.configure(settings.log_format, settings.log_level)
    # Replicas on one machine share its cores as worker processes do.
    return create_app(settings.model_copy(update={"workers": available_cores()}))


app = serve.deployment(
    serve.ingress(build)(),
    name="capsnet",
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=MOST_UNDER_WAY,
    autoscaling_config={"min_replicas": 2, "max_replicas": 8, "target_ongoing_requests": BUSY},
    graceful_shutdown_timeout_s=10,
).bind()
