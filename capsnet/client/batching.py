"""Send many images: small ones in batches, a few requests at a time, results in the order of the images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from capsnet.client import api_calls
from capsnet.errors import CapsnetError, no_image
from capsnet.image_encoding import ImageInput, image_bytes, iterate, size
from capsnet.results import Classification

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = Classification | CapsnetError

# Makes a call: `Client.send`.
Send = Callable[[Any], Any]

DEFAULT_JOBS = 4

# A batch holds at most so many images or bytes; a larger image is sent alone.
BATCH_IMAGES = 32
BATCH_BYTES = 1_000_000


def classify_many(
    send: Send, images: Iterable[ImageInput], options: Mapping[str, Any], jobs: int
) -> Iterator[Outcome]:
    """Classify images; yields for each, in order, its result or its error. See `Client.classify_many`.

    Raises
    ------
    TypeError
        If `images` is a single image.
    ValueError
        If `jobs` is below 1.
    """
    several = iterate(images)
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it should be at least 1")
    for outcomes in in_order(partial(_classify_group, send, options), groups(several), jobs):
        yield from outcomes


def in_order(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """Map items with `jobs` threads. Takes an item only when it is soon needed, and holds few results."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="capsnet")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also where the caller stops early or a call fails
        pool.shutdown(wait=False, cancel_futures=True)


def groups(images: Iterable[ImageInput]) -> Iterator[list[ImageInput]]:
    """Yield batches of neighbours, each within `BATCH_IMAGES` and `BATCH_BYTES`."""
    group: list[ImageInput] = []
    space = BATCH_BYTES
    for image in images:
        length = size(image)
        if group and (length > space or len(group) == BATCH_IMAGES):
            yield group
            group, space = [], BATCH_BYTES
        group.append(image)
        space -= length
    if group:
        yield group


def _classify_group(send: Send, options: Mapping[str, Any], images: Sequence[ImageInput]) -> list[Outcome]:
    """Classify the images that can be read; those that cannot have their error."""
    files = [_read(image) for image in images]
    readable = [file for file in files if isinstance(file, bytes)]
    outcomes = iter(_classify(send, options, readable) if readable else [])
    return [next(outcomes) if isinstance(file, bytes) else file for file in files]


def _read(image: ImageInput) -> bytes | CapsnetError:
    try:
        return image_bytes(image)
    except CapsnetError as error:
        return error
    except ValueError as error:
        return no_image(error)


def _classify(send: Send, options: Mapping[str, Any], files: Sequence[bytes]) -> list[Outcome]:
    """Classify files with one request, or with one for each half where the service refuses so many (413)."""
    try:
        if len(files) == 1:
            return [send(api_calls.classify(files[0], **options))]
        outcomes: list[Outcome] = send(api_calls.classify_batch(files, **options))
    except CapsnetError as error:
        if error.concerns_every_image:
            raise
        if error.status == 413 and len(files) > 1:
            half = len(files) // 2
            return _classify(send, options, files[:half]) + _classify(send, options, files[half:])
        return [error] * len(files)
    # One image may find no memory free to decode it, where the others did.
    return [
        _classify(send, options, [file])[0]
        if isinstance(outcome, CapsnetError) and outcome.is_transient
        else outcome
        for file, outcome in zip(files, outcomes, strict=True)
    ]
