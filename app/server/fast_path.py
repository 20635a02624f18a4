"""Answer the most common request, one image for `/classify`, directly from its bytes.

The layers between the socket and the use case (parser, ASGI messages, middleware, objects for request and response)
took as long as the use case itself (docs/performance.md). Here a whole, plain request is parsed from its bytes, goes to
the use case that the route calls, and its answer is written as bytes. All other requests, and every invalid one, take
the normal path, which has the texts of the errors.

With 1, 8, 32 and 128 clients it brings 22, 21, 9 and 0 % more requests a second (docs/log/serving.md, the tuned
server). It goes when it brings less than 5 % with 32 clients.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI
from structlog.contextvars import bind_contextvars

from ..api import problem_details
from ..api.fast_route import cached_query_parser
from ..api.middleware.request_context import CLIENT_CLOSED_REQUEST
from ..api.multipart import plain_image_file
from ..api.request_id import choose_request_id
from ..api.responses import JSON
from ..api.routes import classify
from ..api.state import state_of
from ..errors import NotReady, Problem
from .http_head import Address, RequestHead, client_address

# Longest body on the fast path: about one read of a socket.
LONGEST_BODY_BYTES = 60_000


class ImageRequest(NamedTuple):
    """A request that takes the fast path: an image for `/classify`."""

    head: RequestHead
    image_file: bytes
    parameters: Any


class Reply(NamedTuple):
    """Status, id and body of an answer, and its headers but for those that every answer has."""

    status: int
    identity: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FastPath:
    """Decides which requests take the fast path through one application, and answers them."""

    def __init__(self, app: FastAPI) -> None:
        self._state = state_of(app)
        self._path = str(classify.FAST_ROUTE["route"].path)
        self._parameters = cached_query_parser(classify.FAST_ROUTE["schema"])
        settings = self._state.settings
        self._longest = min(LONGEST_BODY_BYTES, settings.max_upload) if settings.fast_path else -1

    def may_take(self, head: RequestHead) -> bool:
        """Tell whether a request with this head may take the fast path, if its body is plain."""
        state = self._state
        return (
            head.path == self._path
            and head.length <= self._longest
            and state.is_open
            and state.tracing is None
        )

    def read(self, head: RequestHead, body: bytes) -> ImageRequest | None:
        """Parse a request; None where it is not plain or not valid, which the normal path answers."""
        parameters = self._parameters(head.query)
        image_file = plain_image_file(head.get("content-type"), body) if parameters else None
        return ImageRequest(head, image_file, parameters) if image_file else None

    async def reply(self, request: ImageRequest, peer: Address | None, has_left: Callable[[], bool]) -> Reply:
        """Answer a request, with a problem where there is one; raise CancelledError where the client has left."""
        state, head, started = self._state, request.head, time.perf_counter()
        identity = choose_request_id(head.last("x-request-id").encode("latin-1"))
        client = client_address(head, peer, state.trusted_hosts)
        problem: Problem | None = None
        headers: list[tuple[bytes, bytes]] = []
        status = CLIENT_CLOSED_REQUEST
        bind_contextvars(request_id=identity)  # the task is this request's alone
        state.recorder.begin()
        state.body_budget.used += head.length
        try:
            headers = await self._enter(head, client)
            body = await classify.answer(state.service, request.image_file, request.parameters)
            status = 200
            return Reply(status, identity, [(b"content-length", b"%d" % len(body)), JSON, *headers], body)
        except asyncio.CancelledError:
            if has_left():
                raise
            problem = NotReady("the service is shutting down")  # the graceful timeout is over
        except Exception as error:  # noqa: BLE001  # no other code would answer
            problem = (
                error if isinstance(error, Problem) else problem_details.internal_error(head.path, error)
            )
        finally:
            status = problem.status if problem else status
            state.body_budget.used -= head.length
            state.recorder.end(
                "POST",
                head.path,
                status,
                time.perf_counter() - started,
                route=head.path,
                problem=problem.kind if problem else None,
                client=client,
                request_id=identity,
            )
        try:
            body, media_type = problem_details.encode_problem(problem, head.path, identity)
            headers += problem_details.problem_headers(problem, len(body), media_type)
            return Reply(problem.status, identity, headers, body)
        finally:
            del problem  # its traceback has this frame, and that cycle would keep the image

    async def _enter(self, head: RequestHead, client: Address | None) -> list[tuple[bytes, bytes]]:
        """Do the checks of the normal path; return the headers that they add. Raises Problem."""
        authenticator = self._state.authenticator
        rate = {} if authenticator is None else await authenticator.authenticate(head.get, client)
        self._state.body_budget.reserve(0)
        return [(name.lower().encode(), value.encode()) for name, value in rate.items()]
