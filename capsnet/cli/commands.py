"""What the commands do: pictures to `capsnet`, its results to a writer."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import typer

from capsnet import (
    CapsnetError,
    Classification,
    Client,
    Explanation,
    Picture,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)
from capsnet.cli import output as rows
from capsnet.cli.exit_codes import Status
from capsnet.cli.inputs import Source, find
from capsnet.cli.options import Format
from capsnet.cli.output import Row, open_writer, save
from capsnet.cli.runner import errors, leave, leaving_well, notice, outcomes, write
from capsnet.client.batching import in_order
from capsnet.evaluation import collect, draw_mistakes, find_labelled
from capsnet.image_encoding import printable

if TYPE_CHECKING:
    from capsnet.predictor import Predictor

Result = TypeVar("Result")


class Connection(NamedTuple):
    """What the options say of the server."""

    server: str
    api_key: str | None
    model: str | None
    retries: int
    timeout: float

    def open(self) -> Client:
        """A client.

        Raises
        ------
        typer.BadParameter
            If the server is no address, or the key cannot be sent.
        """
        try:
            return Client(
                self.server,
                api_key=self.api_key,
                model=self.model,
                retries=self.retries,
                timeout=self.timeout,
                notice=notice(),
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


def classify(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    fail_on_refused: bool,
) -> None:
    """`capsnet classify`."""
    refused = False

    def row(source: Source, found: Classification) -> Row:
        nonlocal refused
        refused |= found.reconstruction is not None and not found.reconstruction.accepted
        return rows.classify_row(source.name, found)

    with connection.open() as client, leaving_well():
        sources = find(pictures)
        results = outcomes(sources, lambda found: client.classify_many(found, jobs=jobs, **asked))
        writer = open_writer(form, rows.CLASSIFY_CELLS, rows.CLASSIFY_COLUMNS)
        failed = write(sources, results, row, writer)
        finish(failed, len(sources), refused and fail_on_refused)


def read(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
) -> None:
    """`capsnet read`."""

    def row(source: Source, found: Reading) -> Row:
        return rows.read_row(source.name, found)

    ask_each(connection, pictures, "read", asked, form, jobs, row, (rows.READ_CELLS, rows.READ_COLUMNS))


def reconstruct(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    output: Path | None,
) -> None:
    """`capsnet reconstruct`."""

    def row(source: Source, drawn: Reconstruction) -> Row:
        files = {"input": drawn.input, "reconstruction": drawn.reconstruction}
        if drawn.moves or drawn.directions:
            files["perturbed"] = drawn.perturbed
        return rows.reconstruct_row(source.name, drawn, save(output, source.stem, files) if output else [])

    layout = rows.RECONSTRUCT_CELLS, rows.RECONSTRUCT_COLUMNS
    ask_each(connection, pictures, "reconstruct", asked, form, jobs, row, layout)


def sweep(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    output: Path | None,
) -> None:
    """`capsnet sweep`."""

    def row(source: Source, swept: Sweep) -> Row:
        saved = save(output, source.stem, {"sweep": swept.sheet()}) if output else []
        return rows.sweep_row(source.name, swept, saved)

    ask_each(connection, pictures, "sweep", asked, form, jobs, row, (rows.SWEEP_CELLS, rows.SWEEP_COLUMNS))


def transform(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    output: Path | None,
) -> None:
    """`capsnet transform`."""

    def row(source: Source, found: Transformation) -> Row:
        saved = save(output, source.stem, {"transform": found.sheet()}) if output else []
        return rows.transform_row(source.name, found, saved)

    layout = rows.TRANSFORM_CELLS, rows.TRANSFORM_COLUMNS
    ask_each(connection, pictures, "transform", asked, form, jobs, row, layout)


def explain(
    connection: Connection,
    pictures: Sequence[str],
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    output: Path | None,
) -> None:
    """`capsnet explain`."""

    def row(source: Source, found: Explanation) -> Row:
        saved = save(output, source.stem, {"explain": found.sheet()}) if output else []
        return rows.explain_row(source.name, found, saved)

    layout = rows.EXPLAIN_CELLS, rows.EXPLAIN_COLUMNS
    ask_each(connection, pictures, "explain", asked, form, jobs, row, layout)


def ask_each(
    connection: Connection,
    pictures: Sequence[str],
    method: str,
    asked: Mapping[str, Any],
    form: Format | None,
    jobs: int,
    row: Callable[[Source, Any], Row],
    layout: tuple[Sequence[str], Sequence[str]],
) -> None:
    """Ask a method of the client about each picture by itself, and write the rows.

    Parameters
    ----------
    method
        Of `Client`; its first argument is the picture.
    layout
        Cells and columns of the rows.
    """
    with connection.open() as client, leaving_well():
        sources = find(pictures)
        results = one_by_one(sources, partial(getattr(client, method), **asked), jobs)
        finish(write(sources, results, row, open_writer(form, *layout)), len(sources))


def models(connection: Connection, form: Format | None) -> None:
    """`capsnet models`."""
    with connection.open() as client, leaving_well():
        writer = open_writer(form, rows.MODELS_CELLS, rows.MODELS_COLUMNS)
        for model in client.models():
            writer.add(rows.model_row(model))
        writer.close()


def evaluate(
    connection: Connection,
    folder: Path,
    form: Format | None,
    jobs: int,
    output: Path | None,
    in_process: bool,
) -> None:
    """`capsnet evaluate`."""
    with leaving_well(), contextlib.ExitStack() as opened:
        if in_process:
            predictor = _load(connection.model)
            classes, ask = predictor.classes, predictor.classify_many
        else:
            client = opened.enter_context(connection.open())
            classes, ask = _classes(client, connection.model), partial(client.classify_many, jobs=jobs)
        pictures = find_labelled(folder, classes)
        found = collect(classes, pictures, ask([picture.path for picture in pictures]))
        writer = open_writer(form, rows.EVALUATE_CELLS, rows.EVALUATE_COLUMNS)
        for row in rows.evaluation_rows(found):
            writer.add(row)
        writer.close()
        for path, error in found.errors:
            errors.print(f"capsnet: {printable(path)}: {error.detail}")
        if output is not None and (sheet := draw_mistakes(found)) is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            sheet.save(output)
            errors.print(f"the mistakes: {printable(output)}")
        finish([error for _, error in found.errors], len(pictures))


def _load(model: str | None) -> "Predictor":
    """Load a model into this process; one that cannot be loaded is a problem like any other."""
    from capsnet.card import CardError  # with NumPy, which the other commands never need
    from capsnet.predictor import load

    try:
        return load(model or "mnist")
    except (CardError, ImportError) as error:
        raise CapsnetError(str(error), kind="unknown-model", status=404) from None


def _classes(client: Client, name: str | None) -> tuple[str, ...]:
    """Return the classes of a model in service, or of the default one.

    Raises
    ------
    CapsnetError
        If there is no such model.
    """
    served = client.models()
    for model in served:
        if model.name == name or (name is None and model.is_default):
            return tuple(model.classes)
    known = ", ".join(model.name for model in served)
    raise CapsnetError(f"no model is called {name!r}; there are: {known}", kind="unknown-model", status=404)


def one_by_one(
    sources: Sequence[Source], ask: Callable[[Picture], Result], jobs: int
) -> Iterator[Result | CapsnetError]:
    """A request for each picture."""
    return outcomes(sources, lambda found: in_order(partial(_attempt, ask), found, jobs))


def _attempt(ask: Callable[[Picture], Result], picture: Picture) -> Result | CapsnetError:
    try:
        return ask(picture)
    except CapsnetError as error:
        if error.concerns_every_picture:
            raise
        return error


def finish(failed: Sequence[CapsnetError], asked: int, refused: bool = False) -> None:
    """Leave with the status for what was found of so many pictures."""
    if failed:
        all_busy = len(failed) == asked and all(error.is_transient for error in failed)
        leave(Status.NO_SERVER if all_busy else Status.SOME_FAILED)
    if refused:
        leave(Status.SOME_REFUSED)
