"""Define the one error of the client, with the fields of the problem that the service answered (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # results in this process need no connection
    import httpx

OWN_TYPE = "urn:problem-type:capsnet-client:"
TRANSIENT = {429, 502, 503, 504}
ABOUT_THE_CALL = {401, 403, 404, 405, 422}
LONGEST_EXCERPT = 120


class CapsnetError(Exception):
    """What went wrong: an answer of the service that is a problem, or that there is no answer.

    Attributes
    ----------
    detail : str
        What was wrong, and which values are allowed. It is the text of the error.
    kind : str
        The last part of the problem's `type`: `not-an-image`, `unknown-model`, `invalid-parameter`, `queue-full`, …
        The client's own are `unreachable` (no answer), `unreadable-file` and `not-the-service` (an answer that this
        service does not give).
    status : int or None
        The HTTP status, where there was an answer.
    title, instance, request_id : str
        The other fields of the problem; empty where there are none.
    errors : tuple of dict
        With status 422, each value outside its bounds as `parameter`, `value` and `allowed`.
    retry_after : float or None
        Seconds after which the service wants to be asked again.
    """

    def __init__(
        self,
        detail: str,
        *,
        kind: str,
        status: int | None = None,
        title: str = "",
        instance: str = "",
        request_id: str = "",
        errors: Sequence[dict[str, str]] = (),
        retry_after: float | None = None,
        urn: str = "",
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind
        self.status = status
        self.title = title
        self.instance = instance
        self.request_id = request_id
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self._urn = urn or OWN_TYPE + kind

    @property
    def is_transient(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status in TRANSIENT or self.kind == "unreachable"

    @property
    def concerns_every_picture(self) -> bool:
        """Whether every other picture would be answered the same: there is no such server, model or parameter."""
        return self.status in ABOUT_THE_CALL or self.kind in ("unreachable", "not-the-service")

    def as_problem(self) -> dict[str, Any]:
        """The error as a problem object, like those of the service; fields that have no value are left out."""
        fields = {
            "type": self._urn,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
            "errors": list(self.errors),
        }
        return {name: value for name, value in fields.items() if value not in (None, "", [])}

    @classmethod
    def from_problem(cls, problem: Mapping[str, Any], retry_after: float | None = None) -> CapsnetError:
        """The error for a problem object of the service."""
        urn = str(problem.get("type", "about:blank"))
        return cls(
            str(problem.get("detail") or problem.get("title") or urn),
            kind=urn.rpartition(":")[2],
            status=problem.get("status"),
            title=str(problem.get("title", "")),
            instance=str(problem.get("instance", "")),
            request_id=str(problem.get("request_id", "")),
            errors=problem.get("errors", ()),
            retry_after=retry_after,
            urn=urn,
        )

    @classmethod
    def from_response(cls, response: httpx.Response) -> CapsnetError:
        """Return the error for an answer that is no success, from the service or from a proxy before it."""
        wait = seconds_of(response.headers.get("retry-after", ""))
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            return cls.from_problem(response.json(), wait)
        where = response.headers.get("location", "")
        said = f"a redirection to {where}" if where else " ".join(response.text.split())[:LONGEST_EXCERPT]
        return cls(
            f"{response.url.path} was answered {response.status_code} {response.reason_phrase}: {said or 'no more'}",
            kind="not-the-service",
            status=response.status_code,
            title="An answer that is not of this service",
            retry_after=wait,
        )


def unreachable(server: str, reason: Exception) -> CapsnetError:
    """No answer came."""
    words = str(reason) or type(reason).__name__
    return CapsnetError(
        f"{server} cannot be reached: {words}", kind="unreachable", title="The server cannot be reached"
    )


def not_the_service(server: str, what: str) -> CapsnetError:
    """An answer came, and no capsnet service gives it."""
    return CapsnetError(
        f"what answers at {server} is not this service: {what}",
        kind="not-the-service",
        title="An answer that is not of this service",
    )


def seconds_of(retry_after: str) -> float | None:
    """The header Retry-After in seconds from now: a number, or a date (RFC 9110, 10.2.3); None for anything else."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
