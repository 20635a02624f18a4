"""The application: everything put together."""

import functools
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app import __version__, problems
from app.errors import Problem
from app.middleware import LastResort, RequestContext
from app.routes import classify, documentation, health, models, pages, reconstruct, sweep, v2
from app.routes.replies import refuse_repeats
from app.service import Service
from app.settings import Settings
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
    )
    app.state.settings = settings
    app.state.service = Service.load(settings)
    app.state.open = app.state.ready = False
    app.add_middleware(Uploads, limit=LARGEST_BODIES * settings.max_upload, seconds=settings.request_timeout)
    app.add_middleware(LastResort)
    app.add_middleware(RequestContext)  # added last, so outermost
    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, problems.respond)
    for family in (classify, reconstruct, sweep, models, health):
        app.include_router(family.router, dependencies=[Depends(refuse_repeats)])
    app.include_router(v2.router)
    app.include_router(pages.router)
    app.mount("/static", pages.playground)
    app.mount("/docs/assets", pages.swagger_assets())
    _complete_openapi(app)
    return app


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


def _complete_openapi(app: FastAPI) -> None:
    """Have FastAPI's OpenAPI document completed with what it cannot know."""
    generate = app.openapi

    @functools.cache
    def openapi() -> dict[str, Any]:
        return documentation.complete(generate())

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
