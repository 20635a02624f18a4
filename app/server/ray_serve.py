"""Serve the application on a Ray cluster, with replicas by load: `serve run app.server.ray_serve:app`.

Ray Serve listens, spreads requests over the replicas, starts more of them under load and replaces those that are lost.
Each replica is the whole service on one core, with the settings of its environment. Ray sets the address, the port and
the number of processes. Needs the extra `ray`.

The cost beside `python -m app` was not measured apart. Of 94 requests, 3 failed when one of two replicas was killed
(docs/log/serving.md, Ray). It goes when Ray takes the application without settings of its own.
"""

from fastapi import FastAPI
from ray import serve

from ..api.application import create_app
from ..inference.runtime.device import available_cores
from ..observability import logging_config
from ..settings import Settings, warn_of_unknown_variables

# With so many requests under way in each replica, Ray starts another one. A batch of them uses a core well.
TARGET_ONGOING = 16

# Most requests in one replica. Others wait in Ray's proxy and go to the first free replica.
MAX_ONGOING = 64


def build() -> FastAPI:
    """Return the application of one replica; raises StartupError as `create_app` does."""
    settings = Settings.load()
    logging_config.configure(settings.log_format, settings.log_level)
    warn_of_unknown_variables()
    # Replicas on one machine share its cores as worker processes do.
    return create_app(settings.model_copy(update={"workers": available_cores()}))


app = serve.deployment(
    serve.ingress(build)(),
    name="capsnet",
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=MAX_ONGOING,
    autoscaling_config={"min_replicas": 2, "max_replicas": 8, "target_ongoing_requests": TARGET_ONGOING},
    graceful_shutdown_timeout_s=10,
).bind()
