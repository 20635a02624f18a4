"""What is written to standard output: a table for people, JSON lines or CSV with everything for programs."""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.client import CapsnetError
from app.shell.options import Format

# Characters of a table's line in a file or a pipe: as many as it has.
WIDEST = 10_000

PROBLEM_COLUMNS = ("problem", "status", "detail", "request_id", "errors")


@dataclass(frozen=True)
class Row:
    """One result in three forms: cells for a table, columns for CSV, an object for JSON."""

    cells: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


def problem_row(name: str, error: CapsnetError) -> Row:
    """The row of a picture that there is no result for."""
    problem = error.as_problem()
    columns = {column: problem.get(column, "") for column in PROBLEM_COLUMNS[1:]}
    return Row(
        cells={"file": name, "problem": error.detail},
        columns={"file": name, "problem": error.kind, **columns},
        record={"file": name, "problem": problem},
    )


class Writer(Protocol):
    """Takes rows as they come; one that `is_live` writes them at once."""

    is_live: bool

    def add(self, row: Row) -> None:
        """Write a row, now or at the end."""

    def close(self) -> None:
        """Write what is not written yet."""


class _Console(Console):
    """Leaves it to the command how to end where nobody reads any more, instead of ending with status 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class TableWriter:
    """A table, written at the end because its columns must be known; one for problems appears where there is any."""

    is_live = False

    def __init__(self, headings: Sequence[str]) -> None:
        self._headings = list(headings)
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Keep a row."""
        self._rows.append(row)

    def close(self) -> None:
        """Write the table, as wide as the terminal or, where that is none, as wide as it must be."""
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
    """One JSON object a line."""

    is_live = True

    def add(self, row: Row) -> None:
        """Write a row and hand it on at once."""
        sys.stdout.buffer.write(orjson.dumps(row.record, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Nothing is left to write."""


class CsvWriter:
    """Comma-separated values with a line of headings; lists and objects are JSON in their cell."""

    is_live = True

    def __init__(self, headings: Sequence[str]) -> None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        self._writer = csv.DictWriter(sys.stdout, headings, restval="")
        self._writer.writeheader()

    def add(self, row: Row) -> None:
        """Write a row and hand it on at once."""
        self._writer.writerow({heading: _cell(value) for heading, value in row.columns.items()})
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is left to write."""


def open_writer(form: Format | None, cells: Sequence[str], columns: Sequence[str]) -> Writer:
    """The writer for a format; where none is named, a table on a terminal and JSON lines elsewhere."""
    match form or ("table" if sys.stdout.isatty() else "jsonl"):
        case "table":
            return TableWriter(cells)
        case "csv":
            return CsvWriter([*columns, *PROBLEM_COLUMNS])
        case _:
            return JsonLinesWriter()


def _cell(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return orjson.dumps(value).decode()
    return value
