"""The answer to bytes that are no whole request: a head that is too long, came too late, or is no HTTP.

No application has seen such bytes. So this says what every answer says, and leaves the traces that requests leave.
"""

from fastapi import FastAPI

from ..api import problem_details
from ..api.request_id import choose_request_id
from ..api.route_names import UNMATCHED
from ..api.state import state_of
from ..errors import Problem
from .http_head import Address, answer


class EarlyRefusal:
    """Writes the refusals of one application's server."""

    def __init__(self, app: FastAPI) -> None:
        self._recorder = state_of(app).recorder

    def write(self, problem: Problem, client: Address | None, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the whole answer; `headers` are those that the server adds to every answer."""
        identity = choose_request_id(b"")
        self._recorder.begin()
        self._recorder.end(
            "-",
            "-",
            problem.status,
            0.0,
            route=UNMATCHED,
            problem=problem.kind,
            client=client,
            request_id=identity,
        )
        body, media_type = problem_details.encode_problem(problem, "", identity)
        more = problem_details.problem_headers(problem, len(body), media_type)
        return answer(problem.status, identity, [*headers, *more], body)
