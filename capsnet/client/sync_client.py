"""Ask the service from a program that waits for each answer."""

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


class Client(BaseClient):
    """A client of one service, usable from several threads. Close it, or use it in a `with` statement.

    Parameters
    ----------
    server : str, optional
        Address of the service; by default that in `CAPSNET_SERVER`, or else http://127.0.0.1:8000.
    api_key : str, optional
        Key, where the service asks for one; by default that in `CAPSNET_API_KEY`.
    model : str, optional
        Model of calls that name none; by default the service's default model.
    retries : int
        How often a request is repeated that found no server, or that was answered 429, 502, 503 or 504. The pause is
        what `Retry-After` says, or else 0.25 s, and doubles each time.
    timeout : float
        Seconds for one call, retries included. (Where the head of an answer comes byte by byte, the limit holds for
        each byte; `AsyncClient` limits the whole.)
    on_retry : callable, optional
        Called before each pause with the error and the seconds to wait.

    Raises
    ------
    ValueError
        If the server is no address, the key cannot be sent, `timeout` is not above 0 or `retries` is below 0.

    Notes
    -----
    Every call raises `CapsnetError` where there is no answer, or where the answer is a problem.
    """

    def _open(self, url: httpx.URL, key: dict[str, str]) -> None:
        self._http = httpx.Client(base_url=url, headers=key, mounts=mounts(url))
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a call that waits for a retry raises its last error."""
        self._closed.set()
        self._http.close()

    def send(self, call: ApiCall[Result]) -> Result:
        """Make a call, with retries, and return its result; raises CapsnetError."""
        attempts = self._attempts()
        while True:
            result = self._attempt(call, attempts.time_left())
            if not isinstance(result, CapsnetError):
                return result
            if self._closed.wait(attempts.pause_after(result)):
                raise result

    def classify(
        self,
        image: ImageInput,
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
    ) -> Classification:
        """Classify an image, and give the pose of each class.

        Parameters
        ----------
        image : str, Path, bytes, binary file, PIL.Image.Image or numpy.ndarray
            A path, the bytes of an image file, an open file, an image of Pillow, or an array: uint8 or floats from 0
            to 1, of shape (H,W), (H,W,1), (H,W,3) or (H,W,4).
        model : str, optional
            Another model than the client's.
        preprocess : str, optional
            Another way to read the image than the model's own: none, mnist, fashion or resize.
        top_k : int, optional
            How many predictions to give; by default as many objects as the model looks for.
        verify : bool
            Whether the guard compares the image with what the longest capsules draw.
        """
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        return self.send(self._classify(image_bytes(image), model, **options))

    def classify_many(
        self,
        images: Iterable[ImageInput],
        *,
        model: str | None = None,
        preprocess: str | None = None,
        top_k: int | None = None,
        verify: bool = True,
        jobs: int = DEFAULT_JOBS,
    ) -> Iterator[Classification | CapsnetError]:
        """Classify any number of images; yields for each, in order, its result or its error.

        Small images are sent in batches, with `jobs` requests at a time; memory holds only the images of these. An
        error that every image would have (no server, no such model) is raised.
        """
        options = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
        return classify_many(self.send, images, self._options(model, options), jobs)

    def read(self, image: ImageInput, *, model: str | None = None, reconstruct: bool = False) -> Reading:
        """Read every digit in an image, in reading order; a blank image gives an empty text.

        With `reconstruct` each digit has its image as the network saw it, and the drawing of its capsule.
        """
        return self.send(self._read(image_bytes(image), model, reconstruct=reconstruct))

    def reconstruct(
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
        """Draw an image again from its longest capsule, or from that of the class `label`, and with its pose moved.

        `moves` says by how much to move which dimension: {3: 0.1} adds 0.1 to dimension 3, counted from 0. One
        movement may be given as `dim=3, delta=0.1` instead. `directions` moves the whole pose along directions that the
        model's card names: {"slant": 12} slants by 12 degrees to the right.
        """
        options = {"label": label, "preprocess": preprocess}
        return self.send(
            self._reconstruct(image_bytes(image), moves, dim, delta, directions, model, **options)
        )

    def sweep(
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
        """Draw the pose with one of the dimensions `dims` moved at a time, from `minimum` to `maximum`; by default all.

        With `directions`, names such as slant, each of these is moved as far as the card measured it, and dimensions
        only where `dims` names them.
        """
        options = {"label": label, "preprocess": preprocess}
        bounds = (minimum, maximum, steps)
        return self.send(self._sweep(image_bytes(image), dims, directions, bounds, model, **options))

    def transform(
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
        """Transform an image in steps, and compare the pose in each step with the one that its direction predicts.

        `by` is rotation, slant (degrees), width, height, size (per cent), weight, shift_x or shift_y (pixels). Without
        `minimum` and `maximum` it goes as far as directions are measured.
        """
        options = {"label": label, "preprocess": preprocess}
        return self.send(self._transform(image_bytes(image), by, (minimum, maximum, steps), model, **options))

    def explain(
        self,
        image: ImageInput,
        *,
        method: Method | None = None,
        label: int | str | None = None,
        model: str | None = None,
        preprocess: str | None = None,
    ) -> Explanation:
        """Locate the evidence for the longest capsule, or for that of the class `label`.

        `method` is votes (of capsules that have a place in the image) or occlusion (how much the capsule shortens with
        a patch covered); by default votes where the model's card names its `routing`.
        """
        options = {"method": method, "label": label, "preprocess": preprocess}
        return self.send(self._explain(image_bytes(image), model, **options))

    def decode(
        self, label: int | str, poses: Iterable[Iterable[float]], *, model: str | None = None
    ) -> list[Png]:
        """Draw capsules of the class `label` from poses (N,D) alone, at most 1,024 poses.

        A text is the name of a class before it is an index, as everywhere; a whole number is an index here.
        """
        return self.send(self._decode(label, poses, model))

    def models(self) -> list[Model]:
        """List the models in service."""
        return self.send(api_calls.models())

    def ready(self) -> bool:
        """Wait within retries and timeout until the service takes requests; return True, or raise CapsnetError."""
        return self.send(api_calls.ready())

    def _attempt(self, call: ApiCall[Result], time_left: float) -> Result | CapsnetError:
        end = time.monotonic() + time_left
        answer: httpx.Response | httpx.RequestError
        try:
            with self._http.stream(**arguments(call, time_left)) as response:
                answer = _read(response, end)
        except httpx.RequestError as error:
            answer = error
        return parse_outcome(self.server, call, answer)


def _read(response: httpx.Response, end: float) -> httpx.Response:
    """Read a whole answer until `end`: `httpx` limits the time between two pieces only. Raises TransportError."""
    pieces = []
    for piece in response.iter_raw():
        pieces.append(piece)
        if time.monotonic() > end:
            raise timeout_error()
    content = b"".join(pieces)
    return httpx.Response(
        response.status_code, headers=response.headers, content=content, request=response.request
    )
