"""Ask the service from a program that waits for the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self, TypeVar

import httpx

from capsnet.client import api_calls
from capsnet.client.base_client import BaseClient
from capsnet.client.batching import DEFAULT_JOBS, classify_many
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


class Client(BaseClient):
    """A connection to one service. Usable from several threads; close it, or use it in a `with` statement.

    Parameters
    ----------
    server : str, optional
        Address of the service; by default that in `CAPSNET_SERVER`, or else http://127.0.0.1:8000.
    api_key : str, optional
        Key, where the service asks for one; by default that in `CAPSNET_API_KEY`.
    model : str, optional
        Model that answers where a call names none; by default the service's own.
    retries : int
        How often a request is made again that could not be delivered or was answered 429, 502, 503 or 504. The pause
        before it is what `Retry-After` says, or else 0.25 s and twice as long each time.
    timeout : float
        Seconds for one call, its repetitions included. (Where the head of an answer comes byte for byte, its time is
        counted from byte to byte; `AsyncClient` counts it all.)
    notice : callable, optional
        Called before each pause with the error and the seconds to wait.

    Raises
    ------
    ValueError
        If the server is no address, or the key cannot be sent.

    Notes
    -----
    Every call raises `CapsnetError` where there is no answer, or where the answer is a problem.
    """

    def _open(self, url: httpx.URL, key: dict[str, str]) -> None:
        self._http = httpx.Client(base_url=url, headers=key)
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls that wait to be repeated end with their last error."""
        self._closed.set()
        self._http.close()

    def send(self, call: Call[Result]) -> Result:
        """Make a call, again where that may help, and read its answer."""
        attempts = self._attempts()
        while True:
            result = self._attempt(call, attempts.time_left())
            if not isinstance(result, CapsnetError):
                return result
            if self._closed.wait(attempts.pause_after(result)):
                raise result

    def classify(
        self,
        picture: Picture,
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """Say which class is in a picture, and in which pose.

        Parameters
        ----------
        picture : str, Path, bytes, binary file, PIL.Image.Image or numpy.ndarray
            A path, the bytes of an image file, an open file, an image of Pillow, or an array: uint8 or floats from 0
            to 1, of shape (H,W), (H,W,1), (H,W,3) or (H,W,4).
        model : str, optional
            Another model than the client's.
        preprocess : str, optional
            Another way to read the picture than the model's own: none, mnist, fashion or resize.
        top_k : int, optional
            How many predictions to give; by default as many objects as the model looks for.
        verify : bool
            Whether the guard compares the picture with what the winning capsule draws.
        """
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        return self.send(self._classify(read(picture), model, **options))

    def classify_many(
        self,
        pictures: Iterable[Picture],
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
        jobs: int = DEFAULT_JOBS,
    ) -> Iterator[Classification | CapsnetError]:
        """Classify any number of pictures; gives for each, in order, its result or its error.

        Small pictures travel in batches, `jobs` requests are under way at a time, and no more pictures are in memory
        than those need. An error of every picture (no server, no such model) is raised.
        """
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        return classify_many(self.send, pictures, self._options(model, options), jobs)

    def read(self, picture: Picture, *, model: str | None = None, reconstruct: bool = False) -> Reading:
        """Read every digit in a picture, in reading order; a blank picture gives an empty text.

        With `reconstruct` each digit has what the network saw of it, and what its capsule draws.
        """
        return self.send(self._read(read(picture), model, reconstruct=reconstruct))

    def reconstruct(
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
        """Draw a picture again from its longest capsule, or from that of the class `label`, and with its pose moved.

        `moves` says by how much to move which dimension: {3: 0.1} adds 0.1 to dimension 3, counted from 0. One
        movement may be given as `dim=3, delta=0.1` instead. `directions` moves the whole pose along directions that the
        model's card names: {"slant": 12} slants by 12 degrees to the right.
        """
        options = {"label": label, "preprocess": preprocess}
        return self.send(self._reconstruct(read(picture), moves, dim, delta, directions, model, **options))

    def sweep(
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
        """Move each of the dimensions `dims` of the pose by itself, from `minimum` to `maximum`; all, if None.

        With `directions`, names such as slant, each of these is moved through all that the card measured; dimensions
        only where `dims` are named too.
        """
        options = {"label": label, "preprocess": preprocess}
        bounds = (minimum, maximum, steps)
        return self.send(self._sweep(read(picture), dims, directions, bounds, model, **options))

    def transform(
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
        """Transform a picture in steps, and read one capsule in each: does the pose go where its direction says?

        `by` is rotation, slant (degrees), width, height, size (per cent), weight, shift_x or shift_y (pixels). Without
        `minimum` and `maximum` it goes as far as directions are measured.
        """
        options = {"label": label, "preprocess": preprocess}
        return self.send(self._transform(read(picture), by, (minimum, maximum, steps), model, **options))

    def explain(
        self,
        picture: Picture,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """Say where the evidence for the longest capsule lies, or for that of the class `label`.

        `method` is votes (of capsules that have a place in the image) or occlusion (patches are covered, and the
        capsule shortens); by default votes where the model's card names its `routing`.
        """
        options = {"method": method, "label": label, "preprocess": preprocess}
        return self.send(self._explain(read(picture), model, **options))

    def decode(
        self, label: int | str, poses: Iterable[Iterable[float]], *, model: str | None = None
    ) -> list[Png]:
        """Draw capsules of the class `label` from poses (N,D) alone; at most 1,024 of them."""
        return self.send(self._decode(label, poses, model))

    def models(self) -> list[Model]:
        """The models in service."""
        return self.send(api_calls.models())

    def ready(self) -> bool:
        """Whether the service takes requests; waits for one that starts, within retries and timeout."""
        return self.send(api_calls.ready())

    def _attempt(self, call: Call[Result], time_left: float) -> Result | CapsnetError:
        end = time.monotonic() + time_left
        answer: httpx.Response | httpx.RequestError
        try:
            with self._http.stream(**arguments(call, time_left)) as response:
                answer = _read(response, end)
        except httpx.RequestError as error:
            answer = error
        return outcome(self.server, call, answer)


def _read(response: httpx.Response, end: float) -> httpx.Response:
    """The whole answer: `httpx` limits the time between two pieces of it, not that of all together."""
    pieces = []
    for piece in response.iter_raw():
        pieces.append(piece)
        if time.monotonic() > end:
            raise late()
    content = b"".join(pieces)
    return httpx.Response(
        response.status_code, headers=response.headers, content=content, request=response.request
    )
