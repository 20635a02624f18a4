"""Keep the settings that both clients share, and make each call a request. Sends nothing."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from capsnet.arguments import dimensions, direction_amounts, direction_names, movements
from capsnet.client import api_calls
from capsnet.client.retry import DEFAULT_RETRIES, DEFAULT_TIMEOUT, OnRetry, RetryPolicy, no_op
from capsnet.client.transport import DEFAULT_SERVER, KEY_VARIABLE, SERVER_VARIABLE, ApiCall, address, headers
from capsnet.image_encoding import Png
from capsnet.results import (
    Classification,
    Explanation,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)

# Seconds. Sockets take no more than some three hundred years, and nothing waits longer than a day.
LONGEST_TIMEOUT = 86_400


class BaseClient(ABC):
    """The settings of a client, and its calls as requests. `Client` documents the parameters."""

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        model: str | None = None,
        retries: int = DEFAULT_RETRIES,
        timeout: float = DEFAULT_TIMEOUT,
        on_retry: OnRetry = no_op,
    ) -> None:
        if not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
            raise ValueError(
                f"timeout is {timeout!r}; it should be a number of seconds above 0, at most {LONGEST_TIMEOUT:,}"
            )
        if retries < 0:
            raise ValueError(f"retries is {retries}; it should be at least 0")
        url = address(server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER)
        self._open(url, headers(api_key or os.environ.get(KEY_VARIABLE)))
        self.server = str(url.copy_with(userinfo=b""))
        self.model = model
        self._retries, self._timeout, self._on_retry = retries, timeout, on_retry

    @abstractmethod
    def _open(self, url: httpx.URL, key: dict[str, str]) -> None:
        """Make the connections, with the headers that carry the key."""

    def _attempts(self) -> RetryPolicy:
        """Return the retries that one call has."""
        return RetryPolicy(self._retries, self._timeout, self._on_retry)

    def _options(self, model: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a call, with the client's own model where the call names none."""
        return {"model": model or self.model, **options}

    def _classify(self, data: bytes, model: str | None, **options: Any) -> ApiCall[Classification]:
        return api_calls.classify(data, **self._options(model, options))

    def _read(self, data: bytes, model: str | None, **options: Any) -> ApiCall[Reading]:
        return api_calls.read(data, **self._options(model, options))

    def _reconstruct(
        self,
        data: bytes,
        moves: Mapping[int, float] | None,
        dim: int | None,
        delta: float | None,
        directions: Mapping[str, float] | None,
        model: str | None,
        **options: Any,
    ) -> ApiCall[Reconstruction]:
        changes, amounts = movements(moves, dim, delta), direction_amounts(directions)
        return api_calls.reconstruct(data, changes, amounts, **self._options(model, options))

    def _sweep(
        self,
        data: bytes,
        dims: Iterable[int] | None,
        directions: Iterable[str] | None,
        bounds: tuple[float, float, int],
        model: str | None,
        **options: Any,
    ) -> ApiCall[Sweep]:
        named = dict(zip(("min", "max", "steps"), bounds, strict=True))
        rows, along = dimensions(dims), direction_names(directions)
        return api_calls.sweep(data, rows, along, **named, **self._options(model, options))

    def _transform(
        self,
        data: bytes,
        by: str,
        bounds: tuple[float | None, float | None, int],
        model: str | None,
        **options: Any,
    ) -> ApiCall[Transformation]:
        named = dict(zip(("min", "max", "steps"), bounds, strict=True))
        return api_calls.transform(data, by=by, **named, **self._options(model, options))

    def _explain(self, data: bytes, model: str | None, **options: Any) -> ApiCall[Explanation]:
        return api_calls.explain(data, **self._options(model, options))

    def _decode(
        self, label: int | str, poses: Iterable[Iterable[float]], model: str | None
    ) -> ApiCall[list[Png]]:
        return api_calls.decode(label, poses, model or self.model)
