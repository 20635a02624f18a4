"""Send many images: small ones in batches, a few requests under way, results in the order of the images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from capsnet.client import api_calls
from capsnet.errors import CapsnetError
from capsnet.image_encoding import Picture, read, size
from capsnet.results import Classification

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = Classification | CapsnetError

# Makes a call: `Client.send`.
Send = Callable[[Any], Any]

DEFAULT_JOBS = 4

# A batch is full with so many pictures or bytes; a larger picture travels alone.
BATCH_PICTURES = 32
BATCH_BYTES = 1_000_000


def classify_many(
    send: Send, pictures: Iterable[Picture], options: Mapping[str, Any], jobs: int
) -> Iterator[Outcome]:
    """Classify pictures; gives for each, in order, its result or its error. See `Client.classify_many`.

    Raises
    ------
    TypeError
        If `pictures` is a single one.
    ValueError
        If no job may be under way.
    """
    if isinstance(pictures, str | bytes | os.PathLike):
        raise TypeError(f"pictures is a list of pictures, not one: {str(pictures)[:80]!r}")
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}: at least one request must be under way")
    for outcomes in in_order(partial(_classify_group, send, options), groups(pictures), jobs):
        yield from outcomes


def in_order(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """`map` with `jobs` threads. Takes an item only when it is soon needed, and keeps few results waiting."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="capsnet")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # at once, also where the caller has had enough or a call has failed
        pool.shutdown(wait=False, cancel_futures=True)


def groups(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """Neighbours together as long as their batch is not full."""
    group: list[Picture] = []
    room = BATCH_BYTES
    for picture in pictures:
        length = size(picture)
        if group and (length > room or len(group) == BATCH_PICTURES):
            yield group
            group, room = [], BATCH_BYTES
        group.append(picture)
        room -= length
    if group:
        yield group


def _classify_group(send: Send, options: Mapping[str, Any], pictures: Sequence[Picture]) -> list[Outcome]:
    files = [_read(picture) for picture in pictures]
    readable = [file for file in files if isinstance(file, bytes)]
    outcomes = iter(_classify(send, options, readable) if readable else [])
    return [next(outcomes) if isinstance(file, bytes) else file for file in files]


def _read(picture: Picture) -> bytes | CapsnetError:
    try:
        return read(picture)
    except CapsnetError as error:
        return error


def _classify(send: Send, options: Mapping[str, Any], files: Sequence[bytes]) -> list[Outcome]:
    """One request for all files; in halves where that is more than the service takes at once."""
    try:
        if len(files) == 1:
            return [send(api_calls.classify(files[0], **options))]
        outcomes: list[Outcome] = send(api_calls.classify_batch(files, **options))
    except CapsnetError as error:
        if error.concerns_every_picture:
            raise
        if error.status == 413 and len(files) > 1:
            half = len(files) // 2
            return _classify(send, options, files[:half]) + _classify(send, options, files[half:])
        return [error] * len(files)
    return outcomes
