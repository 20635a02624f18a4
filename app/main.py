"""The application: everything put together."""

import asyncio
import functools
import gc
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import onnxruntime
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import __version__, problems
from app.departures import Departures
from app.errors import Problem
from app.headers import CORS, SecurityHeaders
from app.metrics import Metrics
from app.middleware import LastResort, RequestContext
from app.routes import classify, documentation, health, metrics, models, pages, reconstruct, sweep, v2
from app.routes.replies import refuse_repeats
from app.routes.shortcut import Shortcut
from app.security import Door, Keys
from app.service import Service
from app.settings import Settings
from app.tracing import Traces, Tracing, asked_for
from app.uploads import Uploads

# Bodies of the largest size that are in memory together; of smaller ones as many as fill the same room.
LARGEST_BODIES = 10

DESCRIPTION = """
A capsule network says what is in a picture (the length of a class's capsule), how it is there (the capsule's pose), and
can draw what it saw (its decoder). All three over HTTP.

Errors are `application/problem+json` (RFC 9457). Every answer carries its id in `X-Request-ID`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application, its models loaded.

    They are loaded here and not in the lifespan, so that whoever calls learns in one sentence what is wrong with them.

    Raises
    ------
    StartError
        If a model is broken, or the device cannot be had.
    """
    app = FastAPI(
        title="Capsule networks",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        # What FastAPI traces by itself ends where its routes begin; `tracing` sees the queues as well.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    keys = Keys.load(settings)
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.tracing = Tracing(variable) if (variable := asked_for()) else None
    watching = [each for each in (app.state.metrics, app.state.tracing) if each]
    app.state.service = Service.load(
        settings, lambda model, stage: [each.queue(model, stage) for each in watching]
    )
    app.state.open = app.state.ready = False
    _describe(app.state.service, app.state.metrics)
    _add_middleware(app, settings, keys)
    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, problems.respond)
    for family in (classify, reconstruct, sweep, models, health, metrics):
        app.include_router(family.router, dependencies=[Depends(refuse_repeats)])
    app.include_router(v2.router)
    app.include_router(pages.router)
    app.mount("/static", pages.playground)
    app.mount("/docs/assets", pages.swagger_assets())
    _complete_openapi(app, keys=bool(keys))
    return app


def _add_middleware(app: FastAPI, settings: Settings, keys: Keys) -> None:
    """What every request passes; what is added first is innermost, and what is added last outermost."""
    app.add_middleware(Shortcut, **classify.SHORT)
    app.add_middleware(Departures)
    app.add_middleware(Uploads, limit=LARGEST_BODIES * settings.max_upload, seconds=settings.request_timeout)
    if keys or settings.rate_limit:
        app.add_middleware(Door, keys=keys, rate=settings.rate_limit)
    app.add_middleware(LastResort)
    # Outside the door: a browser asks for leave without a key, and must be able to read a 401.
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.add_middleware(SecurityHeaders)
    if app.state.tracing:
        app.add_middleware(Traces, tracer=app.state.tracing.tracer)
    app.add_middleware(RequestContext, metrics=app.state.metrics)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open from start to end; at the end what was accepted is finished. `ready` is what the probe says meanwhile."""
    # What is loaded stays, so the garbage collector need not go through it again: that took 0.1 s each time.
    gc.collect()
    gc.freeze()
    app.state.open = app.state.ready = True
    yield
    app.state.open = app.state.ready = False
    await app.state.service.close()
    if app.state.tracing:
        await asyncio.to_thread(app.state.tracing.close)


def _describe(service: Service, counted: Metrics) -> None:
    """Say among the metrics what is served, and by what."""
    build = {
        "version": __version__,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }
    models = [
        {
            "model": model.card.name,
            "version": model.card.version,
            "architecture": model.card.config.architecture,
            "precision": model.precision,
            "provider": model.provider,
        }
        for model in service.models
    ]
    counted.describe("capsnet_build_info", "Versions of the service and of what it stands on.", [build])
    counted.describe("capsnet_model_info", "The models in service and what computes them.", models)


def _complete_openapi(app: FastAPI, keys: bool) -> None:
    """Have FastAPI's OpenAPI document completed with what it cannot know."""
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        return documentation.complete(generate(), keys=keys)

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
