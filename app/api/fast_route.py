"""A faster path to a route that gets most requests: without FastAPI's route search and argument assembly.

For every request these give the same result, and together they take longer than an image takes in a batch of the
encoder (docs/performance.md). So parsed query strings are cached here. A request that is not plain, such as one with a
wrong parameter, goes through FastAPI, so that the texts of errors stand in one place.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from .dependencies import get_service, get_settings

# Query strings that are remembered, and the length up to which they are.
MOST_QUERIES = 256
LONGEST_QUERY = 256

Endpoint = Callable[[Request, Any, Any, Any], Awaitable[Response]]


class FastRouteMiddleware:
    """Middleware that calls the endpoint of one route itself.

    It checks what `reject_duplicate_params`, `get_service` and `get_settings` check. The route has no other dependency;
    `tests/app/api/test_fast_route.py` holds it to that.

    Parameters
    ----------
    route
        The route, of a fixed path; its endpoint takes request, service, settings and parameters.
    schema
        Its query string. No field may be a list.
    """

    def __init__(self, app: ASGIApp, route: APIRoute, schema: type[BaseModel]) -> None:
        self._app = app
        self._route = route
        self._endpoint: Endpoint = route.endpoint
        self._methods = route.methods or set()
        self._remembered = cached_query_parser(schema)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parameters = self._parameters(scope)
        if parameters is None:
            await self._app(scope, receive, send)
            return
        scope["route"], scope["endpoint"] = self._route, self._endpoint
        request = Request(scope, receive, send)
        service, settings = await get_service(request), await get_settings(request)
        response = await self._endpoint(request, service, settings, parameters)
        await response(scope, receive, send)

    def _parameters(self, scope: Scope) -> BaseModel | None:
        """Return the parameters of a plain request for the route; None for any other request."""
        if scope["type"] != "http" or scope["method"] not in self._methods:
            return None
        query: bytes = scope["query_string"]
        if scope["path"] != scope.get("root_path", "") + self._route.path:
            return None
        return self._remembered(query)


def cached_query_parser(schema: type[BaseModel]) -> Callable[[bytes], BaseModel | None]:
    """Return a cached parser of query strings; it returns None for long, repeated or wrong parameters."""
    remembered = functools.lru_cache(MOST_QUERIES)(functools.partial(_parameters, schema))
    return lambda query: remembered(query) if len(query) <= LONGEST_QUERY else None


def _parameters(schema: type[BaseModel], query: bytes) -> BaseModel | None:
    """Validate a query string; return None where a name repeats or a value is wrong."""
    given = QueryParams(query).multi_items()
    values = dict(given)
    if len(values) < len(given):
        return None
    try:
        return schema.model_validate(values)
    except ValidationError:
        return None
