"""Write rows to standard output and progress to standard error, and choose the exit status."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from capsnet import CapsnetError, ImageInput
from capsnet.cli.exit_codes import ExitCode
from capsnet.cli.inputs import Source
from capsnet.cli.output import Row, Writer, problem_row
from capsnet.image_encoding import printable

Result = TypeVar("Result")

# With fewer images a progress bar is gone before a user sees it.
MANY = 8

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error that ends the command as one line, and leave with its status."""
    try:
        yield
    except CapsnetError as error:
        errors.print(f"capsnet: {error.detail}")
        leave(_status_of(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            leave(ExitCode.SIGPIPE)
        errors.print(f"capsnet: {_os_error_text(error)}")
        leave(ExitCode.SOME_FAILED)
    except KeyboardInterrupt:
        leave(ExitCode.INTERRUPTED)


def _os_error_text(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{printable(os.fsdecode(error.filename))}: {error.strerror}"


def leave(status: ExitCode) -> NoReturn:
    """End the process at once; requests in progress are not awaited."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def _status_of(error: CapsnetError) -> ExitCode:
    """Return the exit status for an error that ends the command."""
    if error.status in (401, 403):
        return ExitCode.KEY_REFUSED
    if error.kind in ("no-classes", "unknown-model", "invalid-model", "no-runtime"):
        return ExitCode.USAGE
    if (error.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ExitCode.NO_SERVER
    no_server = error.is_transient or error.status is None or error.kind == "not-the-service"
    return ExitCode.NO_SERVER if no_server else ExitCode.USAGE


def retry_notifier() -> Callable[[CapsnetError, float], None]:
    """Return a function that prints the first retry of each kind of error; every retry would fill the screen."""
    said: set[str] = set()

    def say(error: CapsnetError, pause: float) -> None:
        if error.kind not in said:
            said.add(error.kind)
            errors.print(f"capsnet: {error.detail}; trying again in {pause:.1f} s")

    return say


def outcomes(
    sources: Sequence[Source], ask: Callable[[Iterator[ImageInput]], Iterator[Result | CapsnetError]]
) -> Iterator[Result | CapsnetError]:
    """Yield the results of `ask` for the images, and the errors of sources without an image, in their order."""
    answers = ask(source.image for source in sources if not isinstance(source.image, CapsnetError))
    for source in sources:
        yield source.image if isinstance(source.image, CapsnetError) else next(answers)


def write(
    sources: Sequence[Source],
    results: Iterable[Result | CapsnetError],
    row: Callable[[Source, Result], Row],
    writer: Writer,
) -> list[CapsnetError]:
    """Write a row for each source, and return the errors."""
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
        errors.print(f"{len(sources):,} images in {seconds:.1f} s, {rate}; {len(failed):,} failed")
    return failed


@contextlib.contextmanager
def _progress(count: int, writer: Writer) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal, but not among rows; gives the function that advances it."""
    shown = errors.is_terminal and count >= MANY and not (sys.stdout.isatty() and writer.is_live)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not shown) as progress:
        task = progress.add_task("images", total=count)
        yield lambda: progress.advance(task)
