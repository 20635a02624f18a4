"""Run the commands: pass images to `capsnet`, and its results to a writer."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import typer

from capsnet import CapsnetError, Classification, Client, ImageInput, Png, Reconstruction
from capsnet.cli import output as rows
from capsnet.cli.exit_codes import ExitCode
from capsnet.cli.inputs import Source, resolve_inputs
from capsnet.cli.options import Format
from capsnet.cli.output import Layout, Row, open_writer, save
from capsnet.cli.runner import errors, exit_on_error, leave, outcomes, retry_notifier, write
from capsnet.client.batching import in_order
from capsnet.evaluation import Evaluation, draw_mistakes
from capsnet.evaluation import evaluate as evaluate_folder
from capsnet.image_encoding import printable

if TYPE_CHECKING:
    from capsnet.predictor import Predictor

Result = TypeVar("Result")


class CommonOptions(NamedTuple):
    """The options of every command that asks a service."""

    output_format: Format | None
    jobs: int
    model: str | None
    server: str
    api_key: str | None
    retries: int
    timeout: float

    def open(self) -> Client:
        """Open a client; raises BadParameter where the server is no address, or the key cannot be sent."""
        try:
            return Client(
                self.server,
                api_key=self.api_key,
                model=self.model,
                retries=self.retries,
                timeout=self.timeout,
                on_retry=retry_notifier(),
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


class Report(NamedTuple):
    """The output of a method: its layout, its row (from name, result and saved files), and the files of a result."""

    layout: Layout
    row: Callable[[str, Any, Sequence[str]], Row]
    files: Callable[[Any], dict[str, Png]]


def _reconstruction_files(drawn: Reconstruction) -> dict[str, Png]:
    files = {"input": drawn.input, "reconstruction": drawn.reconstruction}
    return files | ({"perturbed": drawn.perturbed} if drawn.moves or drawn.directions else {})


# By the method of `Client` that gives the result.
REPORTS = {
    "read": Report(rows.READ, rows.read_row, lambda _: {}),
    "reconstruct": Report(rows.RECONSTRUCT, rows.reconstruct_row, _reconstruction_files),
    "sweep": Report(rows.SWEEP, rows.sweep_row, lambda found: {"sweep": found.sheet()}),
    "transform": Report(rows.TRANSFORM, rows.transform_row, lambda found: {"transform": found.sheet()}),
    "explain": Report(rows.EXPLAIN, rows.explain_row, lambda found: {"explain": found.sheet()}),
}


def classify(
    common: CommonOptions, images: Sequence[str], asked: Mapping[str, Any], fail_on_refused: bool
) -> None:
    """Classify images in batches, and write a row for each."""
    refused = False

    def row(source: Source, found: Classification) -> Row:
        nonlocal refused
        refused |= found.reconstruction is not None and not found.reconstruction.accepted
        return rows.classify_row(source.name, found)

    with common.open() as client, exit_on_error():
        sources = resolve_inputs(images)
        results = outcomes(sources, lambda found: client.classify_many(found, jobs=common.jobs, **asked))
        failed = write(sources, results, row, open_writer(common.output_format, rows.CLASSIFY))
        finish(failed, len(sources), refused and fail_on_refused)


def ask_each(
    common: CommonOptions,
    method: str,
    images: Sequence[str],
    asked: Mapping[str, Any],
    folder: Path | None = None,
) -> None:
    """Call a method of `REPORTS` for each image, with the options `asked`; write rows, save drawings in `folder`."""
    report = REPORTS[method]

    def row(source: Source, found: Any) -> Row:
        saved = save(folder, source.stem, report.files(found)) if folder else []
        return report.row(source.name, found, saved)

    with common.open() as client, exit_on_error():
        sources = resolve_inputs(images)
        results = one_by_one(sources, partial(getattr(client, method), **asked), common.jobs)
        failed = write(sources, results, row, open_writer(common.output_format, report.layout))
        finish(failed, len(sources))


def models(common: CommonOptions) -> None:
    """Write a row for each model in service."""
    with common.open() as client, exit_on_error():
        _write_rows(common, rows.MODELS, map(rows.model_row, client.models()))


def evaluate(common: CommonOptions, folder: Path, sheet: Path | None, in_process: bool) -> None:
    """Measure a model on a folder, and draw the mistakes in the file `sheet`."""
    with exit_on_error():
        if in_process:
            found = evaluate_folder(_load(common.model), folder)
        else:
            with common.open() as client:
                found = evaluate_folder(client, folder, jobs=common.jobs)
        _write_rows(common, rows.EVALUATE, rows.evaluation_rows(found))
        for path, error in found.errors:
            errors.print(f"capsnet: {printable(path)}: {error.detail}")
        if sheet is not None:
            _save_mistakes(found, sheet)
        finish([error for _, error in found.errors], len(found.answers) + len(found.errors))


def _save_mistakes(found: Evaluation, file: Path) -> None:
    """Save the sheet of the mistakes; without a mistake there is no file."""
    if (drawn := draw_mistakes(found)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(file)
        errors.print(f"the mistakes: {printable(file)}")


def _write_rows(common: CommonOptions, layout: Layout, made: Iterable[Row]) -> None:
    with contextlib.closing(open_writer(common.output_format, layout)) as writer:
        for row in made:
            writer.add(row)


def _load(model: str | None) -> "Predictor":
    """Load a model into this process; raises CapsnetError if that fails."""
    from capsnet.predictor import load  # with NumPy, which the other commands never need

    try:
        return load(model or "mnist")
    except ImportError as error:
        raise CapsnetError(str(error), kind="no-runtime", title="No ONNX Runtime") from None


def one_by_one(
    sources: Sequence[Source], ask: Callable[[ImageInput], Result], jobs: int
) -> Iterator[Result | CapsnetError]:
    """Make one request for each image."""
    return outcomes(sources, lambda found: in_order(partial(_attempt, ask), found, jobs))


def _attempt(ask: Callable[[ImageInput], Result], image: ImageInput) -> Result | CapsnetError:
    """Return a result or the image's error; raises an error that every image would have."""
    try:
        return ask(image)
    except CapsnetError as error:
        if error.concerns_every_image:
            raise
        return error


def finish(failed: Sequence[CapsnetError], asked: int, refused: bool = False) -> None:
    """Exit with the status for the errors among so many images; return where there is no error."""
    if failed:
        all_busy = len(failed) == asked and all(error.is_transient for error in failed)
        leave(ExitCode.NO_SERVER if all_busy else ExitCode.SOME_FAILED)
    if refused:
        leave(ExitCode.SOME_REFUSED)
