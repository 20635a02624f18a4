"""Find the path of a request, and the route that it takes."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Scope

# The name for requests that match no route.
UNMATCHED = "unmatched"


def path_of(scope: Scope) -> str:
    """Return the path as the routes have it: without the prefix of the server that mounts the service."""
    root = scope.get("app_root_path", scope.get("root_path", ""))  # a mounted folder makes `root_path` longer
    return str(scope["path"]).removeprefix(root)


def route_of(scope: Scope) -> str:
    """Return the template of the route that a request took or would have taken, such as `/models/{name}`.

    A label of metrics: there are never more of them than routes.
    """
    if (route := scope.get("route")) is not None:
        return str(route.path)
    path = path_of(scope)
    templates = _templates(scope["app"])
    return next((template for regex, template in templates if regex.match(path)), UNMATCHED)


@functools.lru_cache(maxsize=1)
def _templates(app: FastAPI) -> list[tuple[re.Pattern[str], str]]:
    from fastapi.routing import iter_route_contexts  # the supervisor of the workers never needs it

    return [(route.path_regex, str(route.path)) for route in iter_route_contexts(app.routes)]
