"""The application: everything put together."""

import asyncio
import contextlib
import ctypes
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
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from .. import __version__
from ..errors import Problem
from ..inference.service import InferenceService
from ..observability.access_log import AccessLog
from ..observability.metrics import Metrics
from ..observability.tracing import Tracing, asked_for
from ..settings import Settings
from . import problem_details
from .dependencies import reject_duplicate_params
from .fast_route import FastRouteMiddleware
from .middleware.auth import ApiKeys, AuthMiddleware
from .middleware.body_budget import BodyBudget
from .middleware.error_handler import ErrorMiddleware
from .middleware.request_context import RequestContextMiddleware
from .middleware.security_headers import CORS
from .middleware.tracing import TracingMiddleware
from .openapi import complete_openapi, operation_id
from .routes import classify, health, kserve, metrics, models, pages, read, reconstruct, sweep

# Bodies of the largest size that are in memory together; of smaller ones as many as fill the same room.
LARGEST_BODIES = 10


# New objects after which the collector looks for garbage; requests that wait hold a few hundred each.
GARBAGE = 20_000


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
    StartupError
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
        generate_unique_id_function=operation_id,
        # What FastAPI traces by itself ends where its routes begin; `tracing` sees the queues as well.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    keys = ApiKeys.load(settings)
    app.state.settings = settings
    app.state.metrics = Metrics()
    app.state.access = AccessLog(settings.log_format, settings.log_level)
    app.state.tracing = Tracing(variable) if (variable := asked_for()) else None
    watching = [each for each in (app.state.metrics, app.state.tracing) if each]
    app.state.service = InferenceService.load(
        settings, lambda model, stage: [each.queue(model, stage) for each in watching]
    )
    app.state.open = app.state.ready = False
    _describe(app.state.service, app.state.metrics)
    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, problem_details.respond)
    for family in (classify, read, reconstruct, sweep, models, health, metrics):
        app.include_router(family.router, dependencies=[Depends(reject_duplicate_params)])
    app.include_router(kserve.router)
    app.include_router(pages.router)
    app.mount("/static", pages.playground)
    app.mount("/docs/assets", pages.swagger_assets())
    _complete_openapi(app, keys=bool(keys))
    app.middleware_stack = _wrap(app, settings, keys)
    return app


def _wrap(app: FastAPI, settings: Settings, keys: ApiKeys) -> ASGIApp:
    """What every request passes, from the inside out. Most of it lies outside of FastAPI's own layers.

    So a request that takes the short way passes none of these.
    """
    app.add_middleware(ErrorMiddleware)  # inside FastAPI's, which would answer in its own words
    layers: ASGIApp = FastRouteMiddleware(app.build_middleware_stack(), **classify.SHORT)
    app.state.door = app.state.proxies = None
    if keys or settings.rate_limit:
        layers = app.state.door = AuthMiddleware(layers, keys=keys, rate=settings.rate_limit)
    layers = ErrorMiddleware(layers)
    # Outside the door: a browser asks for leave without a key, and must be able to read a 401.
    if settings.cors_origins:
        layers = CORSMiddleware(layers, allow_origins=settings.cors_origins, **CORS)
    if app.state.tracing:
        layers = TracingMiddleware(layers, tracer=app.state.tracing.tracer)
    bodies = app.state.bodies = BodyBudget(LARGEST_BODIES * settings.max_upload)
    layers = RequestContextMiddleware(
        layers, app.state.metrics, app.state.access, bodies, settings.request_timeout
    )
    if settings.trusted_proxies:
        trusted = list(settings.trusted_proxies)
        # uvicorn writes ASGI's types out where Starlette says "a mapping".
        layers = app.state.proxies = ProxyHeadersMiddleware(layers, trusted_hosts=trusted)  # type: ignore[arg-type, assignment]
    return layers


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open from start to end; at the end what was accepted is finished. `ready` is what the probe says meanwhile."""
    # What is loaded stays, so the garbage collector need not go through it again: that took 0.1 s each time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    _give_back()
    app.state.open = app.state.ready = True
    yield
    app.state.open = app.state.ready = False
    await app.state.service.close()
    app.state.access.write()
    if app.state.tracing:
        await asyncio.to_thread(app.state.tracing.close)


def _give_back() -> None:
    """Have the C library return what loading the models has freed, a tenth of all; only glibc keeps it and can."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _describe(service: InferenceService, counted: Metrics) -> None:
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
        return complete_openapi(generate(), keys=keys)

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
