"""Define every error of the service in one tree.

    ServiceError
    ├── StartupError                the service refuses to start; a sentence for the operator
    │   ├── SettingsError           an environment variable has a value that is not allowed
    │   ├── ModelError              a model folder is broken, incomplete or missing
    │   ├── DeviceError             the device that was asked for cannot be had
    │   └── SharedFolderError       files that several processes share cannot be made
    └── Problem                     an answer to a request (RFC 9457)
        ├── BadRequest         400  the body is not what the route reads
        │   └── InvalidImage   400  its bytes are no image
        ├── MalformedRequest   400  not valid HTTP; closes the connection
        ├── HeadTooLarge       431  a head or trailers over the limit; closes the connection
        ├── Unauthorized       401  no key, or a wrong one; carries WWW-Authenticate
        ├── Forbidden          403  what this service does for no client
        ├── UnknownRoute       404
        ├── UnknownModel       404
        ├── UnknownVersion     404
        ├── MethodNotAllowed   405  carries Allow
        ├── RequestTimeout     408  took too long to come; closes the connection
        ├── ContentTooLarge    413  bytes, pixels or items over the limit
        ├── UnsupportedMedia   415  a content type or encoding that is not read
        ├── InvalidParameter   422  a parameter outside its bounds
        ├── TooManyRequests    429  more than this client may; carries Retry-After
        └── Unavailable        503  try again later; carries Retry-After
            ├── QueueFull
            ├── DeadlineExceeded
            └── NotReady

This module knows no web library. `app.api.problem_details` turns a `Problem` into a response; `app.__main__` prints a
`StartupError`.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Self, TypeVar

Result = TypeVar("Result")


class ServiceError(Exception):
    """Root of the tree."""


class StartupError(ServiceError):
    """The service refuses to start; the text is one sentence for the operator."""


class SettingsError(StartupError):
    """An environment variable holds a value that is not allowed."""


class SharedFolderError(StartupError):
    """Files that processes of the service share cannot be made."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            "processes share files in the folder that PROMETHEUS_MULTIPROC_DIR names, or else in that of TMPDIR, and "
            f"they cannot be made: {error}"
        )


class ModelError(StartupError):
    """A model folder is broken, incomplete or missing; the text begins with its path."""


class DeviceError(StartupError):
    """The device that was asked for cannot be had."""


# Least similarity of a suggestion (0 to 1, difflib's ratio): pear and pair share three letters of four.
MIN_SIMILARITY = 0.75

# More characters than these do not help a client to recognise its value.
LONGEST_ECHO = 80


def cut(text: str) -> str:
    """Return the text, or the beginning of a long one."""
    return text if len(text) <= LONGEST_ECHO else f"{text[: LONGEST_ECHO - 3]}..."


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or the error itself where it has none."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def quote(text: str) -> str:
    """Return what a client sent in quotation marks, cut where it is long."""
    return cut(repr(text[: LONGEST_ECHO + 1]))


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One value outside its bounds: the parameter, the value and the allowed values. Long values are cut."""

    parameter: str
    value: str
    allowed: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter", cut(self.parameter))
        object.__setattr__(self, "value", cut(self.value))

    def __str__(self) -> str:
        return f"{self.parameter} is {self.value}: {self.allowed}"


class Problem(ServiceError):
    """An answer other than the requested one.

    `kind` becomes the last part of the problem's `type`; `headers` go into the response. The class itself is the answer
    to an unexpected error.
    """

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal server error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Iterable[Violation] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(dataclasses.asdict(error) for error in errors)
        self.headers = dict(headers)

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Add headers to the response, and return the problem itself."""
        self.headers |= headers
        return self


def unwrap(result: Result | Problem) -> Result:
    """Return the result, or raise the problem that stands in its place.

    Call this on an expression: a variable that keeps the exception makes a cycle with its traceback, and that keeps the
    body of the request until the garbage collector runs.
    """
    if not isinstance(result, Problem):
        return result
    try:
        raise result
    finally:
        del result


class BadRequest(Problem):
    """The body is not what the route reads."""

    status = 400
    kind = "bad-request"
    title = "The body cannot be read"


class InvalidImage(BadRequest):
    """The bytes are no image of a format that is read."""

    kind = "not-an-image"
    title = "Not an image"


class MalformedRequest(Problem):
    """The bytes are no request that HTTP knows."""

    status = 400
    kind = "malformed-request"
    title = "Not an HTTP request"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the request is no valid HTTP: {reason}", headers={"Connection": "close"})


class HeadTooLarge(Problem):
    """The head of a request, or its trailers, is longer than the limit."""

    status = 431
    kind = "head-too-large"
    title = "The head of the request is too large"

    def __init__(self, limit: int) -> None:
        detail = f"the head of the request, or its trailers, has more than the {limit} bytes that are read"
        super().__init__(detail, headers={"Connection": "close"})


class Unauthorized(Problem):
    """The request carries no key that opens the service, or none for what it asks.

    Parameters
    ----------
    given
        Whether it carries any key.
    use
        What the right keys do.
    """

    status = 401
    kind = "unauthorized"
    title = "Unauthorized"

    def __init__(self, given: bool, use: str = "open this service") -> None:
        found = f"the key is none of those that {use}" if given else "this service asks for a key"
        error = ', error="invalid_token"' if given else ""
        super().__init__(
            f"{found}; send it as 'Authorization: Bearer KEY' or as 'X-API-Key: KEY'",
            headers={"WWW-Authenticate": f'Bearer realm="capsnet"{error}'},
        )


class Forbidden(Problem):
    """The request asks for what this service, by its settings, does for no client."""

    status = 403
    kind = "forbidden"
    title = "Forbidden"


class UnknownRoute(Problem):
    """Nothing is served under that path."""

    status = 404
    kind = "not-found"
    title = "Not found"

    def __init__(self, path: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is nothing at {quote(path)}{_near_route(path, known)}; /docs lists what there is"
        )


class UnknownModel(Problem):
    """No model of that name is served."""

    status = 404
    kind = "unknown-model"
    title = "Unknown model"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = list(known)
        super().__init__(
            f"no model is called {quote(name)}{did_you_mean(name, known)}; there are: {', '.join(known)}"
        )


class UnknownVersion(Problem):
    """The model is served, but in another version."""

    status = 404
    kind = "unknown-version"
    title = "Unknown version"

    def __init__(self, name: str, version: str, known: str) -> None:
        super().__init__(f"model {name!r} has no version {quote(version)}; there is: {known}")


class MethodNotAllowed(Problem):
    """The path exists, but not for this method."""

    status = 405
    kind = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, path: str, method: str, allowed: str) -> None:
        super().__init__(
            f"{cut(path)} does not take {cut(method)}; it takes {allowed}", headers={"Allow": allowed}
        )


class RequestTimeout(Problem):
    """A part of the request did not come in time."""

    status = 408
    kind = "request-timeout"
    title = "The request took too long to come"

    def __init__(self, seconds: float, part: str = "body") -> None:
        super().__init__(f"the {part} did not come within {seconds:g} s", headers={"Connection": "close"})


class ContentTooLarge(Problem):
    """More bytes, pixels or items than the service takes."""

    status = 413
    kind = "too-large"
    title = "Too large"


class UnsupportedMedia(Problem):
    """A content type or content encoding that the route does not read."""

    status = 415
    kind = "unsupported-media-type"
    title = "Unsupported media type"


class InvalidParameter(Problem):
    """One or more parameters outside their bounds; `of` makes the problem with a single one."""

    status = 422
    kind = "invalid-parameter"
    title = "Invalid parameter"

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(map(str, violations)), errors=violations)

    @classmethod
    def of(cls, parameter: str, value: str, allowed: str) -> "InvalidParameter":
        """Return the problem with one parameter; `value` as the reader is to see it."""
        return cls(Violation(parameter=parameter, value=value, allowed=allowed))


class TooManyRequests(Problem):
    """More requests than one client may send."""

    status = 429
    kind = "too-many-requests"
    title = "Too many requests"

    def __init__(self, count: int, seconds: int, retry: int) -> None:
        super().__init__(
            f"one client may send {count} requests in {seconds} s; it may send the next in {retry} s",
            headers={"Retry-After": str(retry)},
        )


class Unavailable(Problem):
    """Nothing wrong with the request; the service cannot take it now."""

    status = 503
    kind = "unavailable"
    title = "Unavailable"

    def __init__(self, detail: str, retry: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry)})


class QueueFull(Unavailable):
    """More work is waiting than is allowed to wait."""

    kind = "queue-full"
    title = "The queue is full"


class DeadlineExceeded(Unavailable):
    """The work was still waiting when the request's time was over."""

    kind = "deadline-exceeded"
    title = "The deadline has passed"


class NotReady(Unavailable):
    """The service is starting or shutting down, or a model's graphs fail."""

    kind = "not-ready"
    title = "Not ready"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the text " (did you mean 'x'?)" with the most similar of the known words, or an empty text.

    Upper and lower case count as equal. Numbers get no suggestion: the class -1 does not tell which one was meant.
    """
    if len(word) > LONGEST_ECHO or word.lstrip("-").isdigit():  # a long word is slow to compare
        return ""
    words = {each.lower(): each for each in known}
    similar = difflib.get_close_matches(word.lower(), words, n=1, cutoff=MIN_SIMILARITY)
    return f" (did you mean {words[similar[0]]!r}?)" if similar else ""


def _near_route(path: str, known: Iterable[str]) -> str:
    """Return the suggestion for a path that matches no route; some of the known ones hold {names}."""
    known = list(known)
    bare = path.rstrip("/")
    if bare != path and any(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), bare) for each in known):
        return f" (did you mean {quote(bare)}?)"
    return did_you_mean(path, [each for each in known if "{" not in each])
