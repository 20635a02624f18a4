"""Remove a path prefix that a proxy leaves on its requests, as many ingresses do."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefixMiddleware:
    """The outermost layer where `CAPSNET_ROOT_PATH` is set: removes this prefix from each path.

    A request without the prefix passes unchanged: another proxy may have removed it, and probes bypass the proxy.

    Parameters
    ----------
    prefix
        Such as `/digits`, without a slash at its end.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._raw = prefix.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        rest = path[len(self._prefix) :]
        if not rest:  # the page's links are relative to its folder
            query = scope["query_string"].decode("ascii")
            await RedirectResponse(f"{self._prefix}/{query and '?'}{query}")(scope, receive, send)
            return
        if rest.startswith("/"):
            scope = {**scope, "path": rest, "raw_path": scope.get("raw_path", b"").removeprefix(self._raw)}
        await self._app(scope, receive, send)
