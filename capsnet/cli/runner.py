"""From pictures to rows: progress on standard error, rows on standard output, and the status to leave with."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from capsnet import CapsnetError, Picture
from capsnet.cli.exit_codes import Status
from capsnet.cli.inputs import Source
from capsnet.cli.output import Row, Writer, problem_row

Result = TypeVar("Result")

# A bar for fewer pictures than these is gone before it is seen.
MANY = 8

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@contextlib.contextmanager
def leaving_well() -> Iterator[None]:
    """Say in one line why there is no answer at all, and leave with the status that tells it."""
    try:
        yield
    except CapsnetError as error:
        errors.print(f"capsnet: {error.detail}")
        leave(_status_of(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            leave(Status.READER_GONE)
        errors.print(f"capsnet: {error}")
        leave(Status.SOME_FAILED)
    except KeyboardInterrupt:
        leave(Status.INTERRUPTED)


def leave(status: Status) -> NoReturn:
    """End at once, without waiting for requests under way."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def _status_of(error: CapsnetError) -> Status:
    if error.status in (401, 403):
        return Status.KEY_REFUSED
    if error.kind in ("no-classes", "unknown-model"):
        return Status.USAGE
    no_server = error.is_transient or error.status is None or error.kind == "not-the-service"
    return Status.NO_SERVER if no_server else Status.USAGE


def notice() -> Callable[[CapsnetError, float], None]:
    """Says that a request is repeated, once for every reason: with many under way it would fill the screen."""
    said: set[str] = set()

    def say(error: CapsnetError, pause: float) -> None:
        if error.kind not in said:
            said.add(error.kind)
            errors.print(f"capsnet: {error.detail}; trying again in {pause:.1f} s")

    return say


def outcomes(
    sources: Sequence[Source], ask: Callable[[Iterator[Picture]], Iterator[Result | CapsnetError]]
) -> Iterator[Result | CapsnetError]:
    """What `ask` says of the pictures that there are, and in its place why there is none."""
    answers = ask(source.picture for source in sources if not isinstance(source.picture, CapsnetError))
    for source in sources:
        yield source.picture if isinstance(source.picture, CapsnetError) else next(answers)


def write(
    sources: Sequence[Source],
    results: Iterable[Result | CapsnetError],
    row: Callable[[Source, Result], Row],
    writer: Writer,
) -> list[CapsnetError]:
    """Write a row for each source; gives the problems among them."""
    start, failed = time.monotonic(), list[CapsnetError]()
    with contextlib.closing(writer), _progress(len(sources), writer) as step:
        for source, result in zip(sources, results, strict=True):
            if isinstance(result, CapsnetError):
                failed.append(result)
                writer.add(problem_row(source.name, result))
            else:
                writer.add(row(source, result))
            step()
    if len(sources) > 1:
        seconds = time.monotonic() - start
        rate = f"{len(sources) / seconds:,.0f} a second"
        errors.print(f"{len(sources):,} pictures in {seconds:.1f} s, {rate}; {len(failed):,} failed")
    return failed


@contextlib.contextmanager
def _progress(count: int, writer: Writer) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; not where the rows themselves appear there."""
    shown = errors.is_terminal and count >= MANY and not (sys.stdout.isatty() and writer.is_live)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not shown) as progress:
        task = progress.add_task("pictures", total=count)
        yield lambda: progress.advance(task)
