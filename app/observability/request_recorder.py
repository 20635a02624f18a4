"""Record each request in the metrics and in the access log."""

from .access_log import AccessLog
from .metrics import Metrics


class RequestRecorder:
    """Records requests from every path: ASGI, the fast path, and requests refused from their first bytes."""

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._metrics = metrics
        self._access_log = access_log

    def begin(self) -> None:
        """Count a request as being answered."""
        self._metrics.begin()

    def end(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        *,
        route: str,
        problem: str | None,
        client: tuple[str, int] | None,
        request_id: str,
        trace_id: str = "",
    ) -> None:
        """Count a request as answered, and write its line.

        Parameters
        ----------
        seconds
            Time from the reading of the request's head to the handing on of its answer.
        route
            The template of its path, such as `/models/{name}`.
        problem
            The kind of problem it was answered with, if any.
        """
        self._metrics.end(method, route, status, seconds, problem)
        self._access_log.add(
            method, path, status, seconds, client=client, request_id=request_id, trace_id=trace_id
        )
