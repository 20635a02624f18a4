"""Ask the service from a program with an event loop: as `Client`, with `await` before every call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx

from capsnet.client import api_calls
from capsnet.client.base_client import BaseClient
from capsnet.client.transport import (
    ApiCall,
    arguments,
    mounts,
    parse_outcome,
    timeout_error,
)
from capsnet.errors import CapsnetError
from capsnet.image_encoding import ImageInput, Png, image_bytes
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
    """A client of one service for `asyncio`. Parameters, calls and errors are those of `Client`.

    It has no `classify_many`; `asyncio.gather` makes several calls at a time.
    """

    def _open(self, url: httpx.URL, key: dict[str, str]) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=key, mounts=mounts(url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: ApiCall[Result]) -> Result:
        """Make a call as `Client.send` does."""
        attempts = self._attempts()
        while True:
            result = await self._attempt(call, attempts.time_left())
            if not isinstance(result, CapsnetError):
                return result
            await asyncio.sleep(attempts.pause_after(result))

    async def classify(
        self,
        image: ImageInput,
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """Classify an image as `Client.classify` does."""
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        data = await asyncio.to_thread(image_bytes, image)
        return await self.send(self._classify(data, model, **options))

    async def read(
        self, image: ImageInput, *, model: str | None = None, reconstruct: bool = False
    ) -> Reading:
        """Read digits as `Client.read` does."""
        data = await asyncio.to_thread(image_bytes, image)
        return await self.send(self._read(data, model, reconstruct=reconstruct))

    async def reconstruct(
        self,
        image: ImageInput,
        *,
        moves: Mapping[int, float] | None = None,
        dim: int | None = None,
        delta: float | None = None,
        directions: Mapping[str, float] | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Reconstruction:
        """Draw an image again as `Client.reconstruct` does."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(image_bytes, image)
        return await self.send(self._reconstruct(data, moves, dim, delta, directions, model, **options))

    async def sweep(
        self,
        image: ImageInput,
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
        """Draw a moved pose as `Client.sweep` does."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(image_bytes, image)
        bounds = (minimum, maximum, steps)
        return await self.send(self._sweep(data, dims, directions, bounds, model, **options))

    async def transform(
        self,
        image: ImageInput,
        by: str = "rotation",
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        steps: int = 13,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Transformation:
        """Transform an image as `Client.transform` does."""
        options = {"label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(image_bytes, image)
        return await self.send(self._transform(data, by, (minimum, maximum, steps), model, **options))

    async def explain(
        self,
        image: ImageInput,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """Locate evidence as `Client.explain` does."""
        options = {"method": method, "label": label, "preprocess": preprocess}
        data = await asyncio.to_thread(image_bytes, image)
        return await self.send(self._explain(data, model, **options))

    async def decode(
        self, label: int | str, poses: Iterable[Iterable[float]], *, model: str | None = None
    ) -> list[Png]:
        """Draw bare poses as `Client.decode` does."""
        return await self.send(self._decode(label, poses, model))

    async def models(self) -> list[Model]:
        """List the models as `Client.models` does."""
        return await self.send(api_calls.models())

    async def ready(self) -> bool:
        """Ask for readiness as `Client.ready` does."""
        return await self.send(api_calls.ready())

    async def _attempt(self, call: ApiCall[Result], time_left: float) -> Result | CapsnetError:
        answer: httpx.Response | httpx.RequestError
        try:
            async with asyncio.timeout(time_left):
                answer = await self._http.request(**arguments(call, time_left))
        except httpx.RequestError as error:
            answer = error
        except TimeoutError:
            answer = timeout_error()
        return parse_outcome(self.server, call, answer)
