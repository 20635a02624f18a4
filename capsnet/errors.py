"""Define the error of the library, with the fields of the problem that the service answered (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # results in this process need no connection
    import httpx

OWN_TYPE = "urn:problem-type:capsnet-client:"
# Statuses after which the same request may succeed, and those that blame the request, not its image.
TRANSIENT = {429, 502, 503, 504}
CALL_PROBLEMS = {401, 403, 404, 405, 422}
MAX_EXCERPT = 120


class CapsnetError(Exception):
    """A call without a result: the service answered a problem, no answer came, or a model here refuses the call.

    Attributes
    ----------
    detail : str
        The wrong value, and which values are allowed. It is the text of the error.
    kind : str
        The last part of the problem's `type`: `not-an-image`, `unknown-model`, `invalid-parameter`, `queue-full`, …
        The library's own are `unreachable` (no answer), `unreadable-file`, `no-classes` (`capsnet.evaluation`),
        `invalid-model` (`load`: its files are damaged) and `not-the-service` (an answer that this service does not
        give).
    status : int or None
        The HTTP status, where there was an answer.
    title, instance, request_id : str
        The other fields of the problem; empty where there are none.
    errors : tuple of dict
        With status 422, each value outside its bounds as `parameter`, `value` and `allowed`.
    retry_after : float or None
        Seconds after which the service may be asked again.
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

    def __reduce__(self) -> tuple[Callable[..., CapsnetError], tuple[Any, ...]]:
        """Pickle the error by its fields, for process pools: `Exception` would pickle the text alone."""
        return CapsnetError.from_problem, (self.as_problem(), self.retry_after)

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in TRANSIENT or self.kind == "unreachable"

    @property
    def concerns_every_image(self) -> bool:
        """Whether every other image would have this error, because the server, model, key or parameter is wrong."""
        other = self.kind == "not-the-service" and self.status != 413  # a proxy may refuse large images alone
        return self.status in CALL_PROBLEMS or self.kind == "unreachable" or other

    def as_problem(self) -> dict[str, Any]:
        """Return the error as a problem object, like those of the service; fields without a value are left out."""
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
        """Return the error for a problem object of the service."""
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
        """Return the error for an unsuccessful answer, from the service or from a proxy before it."""
        wait = parse_retry_after(response.headers.get("retry-after", ""))
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            return cls.from_problem({"status": response.status_code, **response.json()}, wait)
        where = response.headers.get("location", "")
        content = f"a redirection to {where}" if where else " ".join(response.text.split())[:MAX_EXCERPT]
        return cls(
            f"{response.url.path} was answered {response.status_code} {response.reason_phrase}: {content or 'no text'}",
            kind="not-the-service",
            status=response.status_code,
            title="An answer that is not of this service",
            retry_after=wait,
        )


def no_image(reason: ValueError) -> CapsnetError:
    """Return the error of one of many images whose pixels are none."""
    return CapsnetError(str(reason), kind="not-an-image", title="Not an image")


def unreachable(server: str, reason: Exception) -> CapsnetError:
    """Return the error of a request without an answer."""
    return CapsnetError(
        f"{server} cannot be reached: {str(reason) or type(reason).__name__}",
        kind="unreachable",
        title="The server cannot be reached",
    )


def not_the_service(server: str, what: str) -> CapsnetError:
    """Return the error of an answer that no capsnet service gives."""
    return CapsnetError(
        f"what answers at {server} is not this service: {what}",
        kind="not-the-service",
        title="An answer that is not of this service",
    )


def parse_retry_after(retry_after: str) -> float | None:
    """Return a header Retry-After, a number or a date (RFC 9110, 10.2.3), as seconds from now; None if neither."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
