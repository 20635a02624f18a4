"""Ask the service from a program on an event loop: `Client`, with `await` before every call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx

from capsnet.client import api_calls
from capsnet.client.base_client import BaseClient
from capsnet.client.transport import (
    Call,
    arguments,
    late,
    outcome,
)
from capsnet.errors import CapsnetError
from capsnet.image_encoding import Picture, Png, read
from capsnet.results import (
    Classification,
    Explanation,
    Method,
    Model,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)

Result = TypeVar("Result")


class AsyncClient(BaseClient):
    """A connection to one service. Parameters, calls and errors are those of `Client`.

    There is no `classify_many`: `asyncio.gather` has as many calls under way as it is given.
    """

    def _open(self, url: httpx.URL, key: dict[str, str]) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[Result]) -> Result:
        """As `Client.send`."""
        attempts = self._attempts()
        while True:
            result = await self._attempt(call, attempts.time_left())
            if not isinstance(result, CapsnetError):
                return result
            await asyncio.sleep(attempts.pause_after(result))

    async def classify(
        self,
        picture: Picture,
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """As `Client.classify`."""
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        data = await asyncio.to_thread(read, picture)
        return await self.send(self._classify(data, model, **options))

    async def read(self, picture: Picture, *, model: str | None = None, reconstruct: bool = False) -> Reading:
        """As `Client.read`."""
        data = await asyncio.to_thread(read, picture)
        return await self.send(self._read(data, model, reconstruct=reconstruct))

    async def reconstruct(
        self,
        picture: Picture,
        *,
        moves: Mapping[int, float] | None = None,
        dim: int | None = None,
        delta: float | None = None,
        directions: Mapping[str, float] | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Reconstruction:
        """As `Client.reconstruct`."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(read, picture)
        return await self.send(self._reconstruct(data, moves, dim, delta, directions, model, **options))

    async def sweep(
        self,
        picture: Picture,
        *,
        dims: Iterable[int] | None = None,
        directions: Iterable[str] | None = None,
        minimum: float = -0.25,
        maximum: float = 0.25,
        steps: int = 11,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Sweep:
        """As `Client.sweep`."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(read, picture)
        bounds = (minimum, maximum, steps)
        return await self.send(self._sweep(data, dims, directions, bounds, model, **options))

    async def transform(
        self,
        picture: Picture,
        by: str = "rotation",
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        steps: int = 13,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Transformation:
        """As `Client.transform`."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(read, picture)
        return await self.send(self._transform(data, by, (minimum, maximum, steps), model, **options))

    async def explain(
        self,
        picture: Picture,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """As `Client.explain`."""
        options = {"method": method, "label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(read, picture)
        return await self.send(self._explain(data, model, **options))

    async def decode(
        self, label: int | str, poses: Iterable[Iterable[float]], *, model: str | None = None
    ) -> list[Png]:
        """As `Client.decode`."""
        return await self.send(self._decode(label, poses, model))

    async def models(self) -> list[Model]:
        """As `Client.models`."""
        return await self.send(api_calls.models())

    async def ready(self) -> bool:
        """As `Client.ready`."""
        return await self.send(api_calls.ready())

    async def _attempt(self, call: Call[Result], time_left: float) -> Result | CapsnetError:
        answer: httpx.Response | httpx.RequestError
        try:
            async with asyncio.timeout(time_left):
                answer = await self._http.request(**arguments(call, time_left))
        except httpx.RequestError as error:
            answer = error
        except TimeoutError:
            answer = late()
        return outcome(self.server, call, answer)
