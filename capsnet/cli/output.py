"""Write to standard output: a table for people, JSON lines or CSV with everything for programs."""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capsnet import (
    CapsnetError,
    Classification,
    Explanation,
    Model,
    Png,
    Reading,
    Reconstruction,
    Sweep,
    Transformation,
)
from capsnet.cli.options import Format
from capsnet.evaluation import Answer, Evaluation
from capsnet.image_encoding import printable

# Width of a table in a file or a pipe, in characters: rich would fold it at 80.
WIDEST = 10_000

PROBLEM_COLUMNS = ("problem", "status", "detail", "request_id", "errors")


@dataclass(frozen=True)
class Row:
    """One result in three forms: cells for a table, columns for CSV, an object for JSON."""

    cells: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


class Layout(NamedTuple):
    """The headings of a command's rows: of `cells` in a table, and of `columns` in CSV."""

    cells: tuple[str, ...]
    columns: tuple[str, ...]


def problem_row(name: str, error: CapsnetError) -> Row:
    """Return the row of an image without a result."""
    problem = error.as_problem()
    columns = {column: problem.get(column, "") for column in PROBLEM_COLUMNS[1:]}
    return Row(
        cells={"file": name, "problem": error.detail},
        columns={"file": name, "problem": error.kind, **columns},
        record={"file": name, "problem": problem},
    )


class Writer(Protocol):
    """Takes rows in their order; one that `is_live` writes each at once."""

    is_live: bool

    def add(self, row: Row) -> None:
        """Write a row, now or at the end."""

    def close(self) -> None:
        """Write the results that are not written yet."""


class _Console(Console):
    """Leaves it to the command how to end when its output is closed, instead of ending with status 1."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, for which the command has an exit status."""
        raise BrokenPipeError


class TableWriter:
    """Writes a table at the end, because only then its widths are known; a column for problems where there are any."""

    is_live = False

    def __init__(self, headings: Sequence[str]) -> None:
        if not sys.stdout.isatty():
            sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        self._headings = list(headings)
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Keep a row."""
        self._rows.append(row)

    def close(self) -> None:
        """Write the table: as wide as the terminal, or unfolded where standard output is no terminal."""
        if not self._rows:
            return
        with_problems = any("problem" in row.cells for row in self._rows)
        headings = self._headings + ["problem"] * with_problems
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in headings:
            table.add_column(heading, overflow="fold", style="red" if heading == "problem" else None)
        for row in self._rows:
            table.add_row(*(Text(row.cells.get(heading, "")) for heading in headings))
        _Console(width=None if sys.stdout.isatty() else WIDEST).print(table)


class JsonLinesWriter:
    """Writes one JSON object a line."""

    is_live = True

    def add(self, row: Row) -> None:
        """Write a row at once."""
        sys.stdout.buffer.write(orjson.dumps(row.record, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Do nothing: every row is written."""


class CsvWriter:
    """Writes comma-separated values below a line of headings; lists and objects are JSON in their cell."""

    is_live = True

    def __init__(self, headings: Sequence[str]) -> None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        self._writer = csv.DictWriter(sys.stdout, headings, restval="")
        self._writer.writeheader()

    def add(self, row: Row) -> None:
        """Write a row at once."""
        self._writer.writerow({heading: _cell(value) for heading, value in row.columns.items()})
        sys.stdout.flush()

    def close(self) -> None:
        """Do nothing: every row is written."""


def open_writer(output_format: Format | None, layout: Layout) -> Writer:
    """Return the writer for a format: by default a table on a terminal, and JSON lines elsewhere."""
    match output_format or ("table" if sys.stdout.isatty() else "jsonl"):
        case "table":
            return TableWriter(layout.cells)
        case "csv":
            return CsvWriter([*layout.columns, *PROBLEM_COLUMNS])
        case _:
            return JsonLinesWriter()


def _cell(value: Any) -> Any:
    """Return a value for a cell of CSV: JSON, if it is no text and no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return orjson.dumps(value).decode()
    return value


# Fields of a classification that it has where there is something to say: of several objects, and of several images.
OPTIONAL = ("objects_found", "hint", "note")

CLASSIFY = Layout(
    cells=("file", "class", "length", "distance", "accepted"),
    columns=(
        "file", "label", "length", "accepted", "distance", "threshold", "model", "version",
        "predictions", "lengths", "poses", *OPTIONAL,
    ),
)  # fmt: skip
READ = Layout(
    cells=("file", "text", "digits", "refused", "uncertain"),
    columns=("file", "text", "objects_found", "model", "version", "digits"),
)
RECONSTRUCT = Layout(
    cells=("file", "class", "length", "distance", "moved", "saved"),
    columns=(
        "file", "label", "index", "length", "distance", "model", "version", "pose", "perturbed_pose",
        "perturbations", "directions", "input", "reconstruction", "perturbed", "saved",
    ),
)  # fmt: skip
SWEEP = Layout(
    cells=("file", "class", "length", "dimensions", "from", "to", "steps", "saved"),
    columns=(
        "file", "label", "index", "length", "model", "version", "pose", "dims", "deltas", "directions",
        "input", "reconstruction", "frames", "saved",
    ),
)  # fmt: skip
TRANSFORM = Layout(
    cells=("file", "class", "by", "from", "to", "shortest", "longest", "straight R²", "foretold R²", "saved"),
    columns=(
        "file", "label", "index", "length", "model", "version", "pose", "property", "unit", "measured",
        "explained", "linearity", "steps", "saved",
    ),
)  # fmt: skip
EXPLAIN = Layout(
    cells=("file", "class", "length", "method", "iterations", "hottest", "saved"),
    columns=(
        "file", "label", "index", "length", "model", "version", "method", "patch", "stride", "falls",
        "grid", "iterations", "heat", "input", "map", "saved",
    ),
)  # fmt: skip
EVALUATE = Layout(
    cells=("class", "images", "right", "accuracy", "taken for", "accepted"),
    columns=("class", "images", "right", "accuracy", "accepted", "found"),
)
MODELS = Layout(
    cells=("model", "version", "default", "classes", "input", "pose", "test error", "computed by"),
    columns=("name", "version", "default", "classes", "card"),
)


def classify_row(file: str, found: Classification) -> Row:
    """Return the row of a classification."""
    best, check = found.predictions[0], found.reconstruction
    return Row(
        cells={
            "file": f"{file} (first image)" if "note" in found.answer else file,
            "class": ", ".join(each.label for each in found.predictions),
            "length": ", ".join(f"{each.length:.3f}" for each in found.predictions),
            "distance": "" if check is None else f"{check.distance:.2f}",
            "accepted": "" if check is None else "yes" if check.accepted else "no",
        },
        columns={
            "file": file,
            "label": best.label,
            "length": best.length,
            **({} if check is None else vars(check)),
            **{name: found.answer[name] for name in ("model", "version", "predictions", "lengths", "poses")},
            **{name: found.answer[name] for name in OPTIONAL if name in found.answer},
        },
        record={"file": file, **found.answer},
    )


def read_row(file: str, found: Reading, _saved: Sequence[str]) -> Row:
    """Return the row of an image whose digits were read."""
    return Row(
        cells={
            "file": file,
            "text": found.text,
            "digits": str(len(found.digits)),
            "refused": str(sum(not digit.accepted for digit in found.digits)),
            "uncertain": str(sum(not digit.certain for digit in found.digits)),
        },
        columns={"file": file, **found.answer},
        record={"file": file, **found.answer},
    )


def reconstruct_row(file: str, drawn: Reconstruction, saved: Sequence[str]) -> Row:
    """Return the row of a reconstruction."""
    changes = [*drawn.directions.items(), *drawn.moves.items()]
    moved = ", ".join(f"{name}: {amount:+g}" for name, amount in changes)
    return _capsule_row(file, drawn, saved, {"distance": f"{drawn.distance:.2f}", "moved": moved})


def sweep_row(file: str, swept: Sweep, saved: Sequence[str]) -> Row:
    """Return the row of a sweep; each direction stands with its own first and last amount."""
    size = len(swept.answer["pose"])
    moved = [f"all {size}"] if len(swept.dims) == size else list(map(str, swept.dims))
    moved += [f"{name} {each[0]:g} to {each[-1]:g}" for name, each in swept.directions.items()]
    cells = {
        "dimensions": ", ".join(moved),
        "from": f"{swept.deltas[0]:g}" if swept.dims else "",
        "to": f"{swept.deltas[-1]:g}" if swept.dims else "",
        "steps": str(len(swept.deltas)),
    }
    return _capsule_row(file, swept, saved, cells)


def transform_row(file: str, found: Transformation, saved: Sequence[str]) -> Row:
    """Return the row of a transformation."""
    lengths = [step.length for step in found.steps]
    cells = {
        "by": f"{found.property}, {found.unit}",
        "from": f"{found.steps[0].amount:g}",
        "to": f"{found.steps[-1].amount:g}",
        "shortest": f"{min(lengths):.3f}",
        "longest": f"{max(lengths):.3f}",
        "straight R²": "-" if found.linearity is None else f"{found.linearity:.2f}",
        "foretold R²": "not named" if found.explained is None else f"{found.explained:.2f}",
    }
    return _capsule_row(file, found, saved, cells)


def explain_row(file: str, found: Explanation, saved: Sequence[str]) -> Row:
    """Return the row of an explanation; the hottest pixel is given as x and y from the top left."""
    y, x = divmod(int(found.heat.argmax()), found.heat.shape[1])
    cells = {"method": found.method, "iterations": str(len(found.iterations) or ""), "hottest": f"{x}, {y}"}
    return _capsule_row(file, found, saved, cells)


def _capsule_row(
    file: str,
    found: Reconstruction | Sweep | Transformation | Explanation,
    saved: Sequence[str],
    cells: Mapping[str, str],
) -> Row:
    """Return the row of a result about one capsule, with the cells of its own kind and the paths of saved files."""
    capsule = found.capsule
    answer = {name: value for name, value in found.answer.items() if name != "capsule"}
    paths = {"saved": list(saved)} if saved else {}
    common = {"file": file, "class": capsule.label, "length": f"{capsule.length:.3f}"}
    return Row(
        cells={**common, **cells, "saved": ", ".join(saved)},
        columns={"file": file, **vars(capsule), **answer, **paths},
        record={"file": file, **found.answer, **paths},
    )


def evaluation_rows(found: Evaluation) -> list[Row]:
    """Return a row for each class that has images, and one for all of them together."""
    made = []
    for label, counts in enumerate(found.confusion):
        answers = [answer for answer in found.answers if answer.image.label == label]
        if answers:
            named = dict(zip(found.classes, counts, strict=True))
            made.append(_evaluation_row(found.classes[label], answers, counts[label], named))
    right = sum(answer.is_right for answer in found.answers)
    return [*made, _evaluation_row("", found.answers, right, {})]


def _evaluation_row(name: str, answers: Sequence[Answer], right: int, counts: Mapping[str, int]) -> Row:
    """Return the row of a class, or of all classes where the name is empty."""
    total = max(1, len(answers))
    accuracy, accepted = right / total, sum(answer.accepted for answer in answers) / total
    wrong = sorted(
        (item for item in counts.items() if item[1] and item[0] != name), key=lambda item: -item[1]
    )
    figures = {"images": len(answers), "right": right, "accuracy": accuracy, "accepted": accepted}
    record = {"class": name or None, **figures, "found": dict(counts)}
    return Row(
        cells={
            "class": name or "all",
            "images": str(len(answers)),
            "right": str(right),
            "accuracy": f"{100 * accuracy:.1f} %",
            "taken for": ", ".join(f"{other} {count}" for other, count in wrong),
            "accepted": f"{100 * accepted:.1f} %",
        },
        columns={**record, "class": name},
        record=record,
    )


def model_row(model: Model) -> Row:
    """Return the row of a model."""
    card = model.card
    spec, serving = card["input"], card["serving"]
    metrics = card["variants"][serving["precision"]].get("metrics")
    default = {"default": model.is_default}
    return Row(
        cells={
            "model": model.name,
            "version": model.version,
            "default": "yes" if model.is_default else "",
            "classes": ", ".join(model.classes),
            "input": f"{spec['height']} × {spec['width']}",
            "pose": str(card["config"]["pose_dim"]),
            "test error": "" if metrics is None else f"{100 * metrics['error']:.2f} %",
            "computed by": f"{serving['provider']}, {serving['precision']}",
        },
        columns={
            "name": model.name,
            "version": model.version,
            **default,
            "classes": list(model.classes),
            "card": card,
        },
        record={**default, **card},
    )


def save(folder: Path, name: str, images: dict[str, Png]) -> list[str]:
    """Write each image to `folder/NAME.KIND.png`, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, image in images.items():
        path = folder / f"{name}.{kind}.png"
        image.save(path)
        paths.append(printable(path))
    return paths
