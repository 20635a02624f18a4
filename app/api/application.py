"""Assemble the application: state, middleware, routes and the OpenAPI document."""

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
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from .. import __version__
from ..errors import Problem
from ..inference.service import InferenceService
from ..observability.metrics import Metrics
from ..settings import Settings
from . import problem_details
from .dependencies import reject_duplicate_params
from .fast_route import FastRouteMiddleware
from .middleware.auth import AuthMiddleware
from .middleware.error_handler import ErrorMiddleware
from .middleware.path_prefix import PathPrefixMiddleware
from .middleware.request_context import RequestContextMiddleware
from .middleware.tracing import TracingMiddleware
from .openapi import complete_openapi, operation_id
from .routes import (
    classify,
    classroom,
    explain,
    health,
    kserve,
    metrics,
    models,
    pages,
    read,
    reconstruct,
    repository,
    sweep,
    transform,
)
from .security_headers import CORS
from .state import AppState, state_of

# New objects after which the garbage collector runs; a waiting request holds a few hundred.
GC_THRESHOLD = 20_000


DESCRIPTION = """
A capsule network names the class in an image (the length of its capsule), describes its pose (the capsule's pose), and
can draw what it saw (its decoder). All three over HTTP.

Errors are `application/problem+json` (RFC 9457). Every answer carries its id in `X-Request-ID`.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the application with its models loaded.

    They are loaded here and not in the lifespan, so that the caller learns in one sentence why they are wrong.

    Raises
    ------
    StartupError
        If a model is broken, or the device cannot be had.
    """
    state = AppState.load(settings)
    app = FastAPI(
        title="Capsule networks",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        middleware=_middleware(state),
        generate_unique_id_function=operation_id,
        # What FastAPI traces by itself ends where its routes begin; `tracing` sees the queues as well.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.capsnet = state
    _describe(state.service, state.metrics)
    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, problem_details.problem_response)
    for family in (classify, read, reconstruct, sweep, transform, explain, models, health, metrics):
        app.include_router(family.router, dependencies=[Depends(reject_duplicate_params)])
    app.include_router(kserve.router)
    app.include_router(repository.router)
    app.include_router(pages.router)
    app.include_router(classroom.router, dependencies=[Depends(reject_duplicate_params)])
    app.mount("/static", pages.playground)
    app.mount("/docs/assets", pages.swagger_assets())
    _complete_openapi(app, needs_key=state.needs_key)
    return app


def _middleware(state: AppState) -> list[Middleware]:
    """Return what every request passes, from the outside in; features that are off cost nothing."""
    settings = state.settings
    layers: list[Middleware | None] = [
        Middleware(PathPrefixMiddleware, prefix=settings.root_path) if settings.root_path else None,
        Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
        if settings.trusted_proxies
        else None,
        Middleware(
            RequestContextMiddleware,
            recorder=state.recorder,
            bodies=state.body_budget,
            seconds=settings.request_timeout,
        ),
        Middleware(TracingMiddleware, tracer=state.tracing.tracer) if state.tracing else None,
        # Outside of authentication: a browser sends its preflight request without a key, and must be able to read a
        # 401.
        Middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
        if settings.cors_origins
        else None,
        Middleware(ErrorMiddleware),
        Middleware(AuthMiddleware, authenticator=state.authenticator) if state.authenticator else None,
        Middleware(FastRouteMiddleware, **classify.FAST_ROUTE),
    ]
    return [layer for layer in layers if layer is not None]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Take requests from start to end; at the end, finish those that were accepted."""
    # Loaded objects stay, so the garbage collector need not visit them again: that took 0.1 s each time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    _trim_heap()
    state = state_of(app)
    await state.repository.start()
    state.is_open = state.is_ready = True
    yield
    state.is_open = state.is_ready = False
    await state.repository.stop()
    await state.service.close()
    state.access_log.write()
    if state.tracing:
        await asyncio.to_thread(state.tracing.close)


def _trim_heap() -> None:
    """Return the memory that loading the models has freed to the system: a tenth of all, and only glibc can."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _describe(service: InferenceService, counted: Metrics) -> None:
    """Add the served models and the device to the metrics."""
    build = {
        "version": __version__,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }

    def models() -> list[dict[str, str]]:
        return [
            {
                "model": model.card.name,
                "version": model.card.version,
                "architecture": model.card.config.architecture,
                "precision": model.precision,
                "provider": model.provider,
            }
            for model in service.models
        ]

    counted.describe(
        "capsnet_build_info", "Versions of the service and of what it stands on.", lambda: [build]
    )
    counted.describe("capsnet_model_info", "The models in service and what computes them.", models)


def _complete_openapi(app: FastAPI, needs_key: bool) -> None:
    """Have FastAPI's OpenAPI document completed with what it cannot know."""
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        return complete_openapi(generate(), keys=needs_key, root_path=state_of(app).settings.root_path)

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
