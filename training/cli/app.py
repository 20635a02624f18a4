"""The application of the command line: options that commands share, and how errors are shown."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from capsnet.config import UserError
from training.data.datasets import DATA_VARIABLE, DEFAULT_FOLDER

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


console = Console(stderr=True)

AUTO = "auto"
KINDS = {int: "a whole number", float: "a number", str: "a name"}
T = TypeVar("T", int, float, str)


DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar=DATA_VARIABLE, help=f"Folder with the data sets; default: ./{DEFAULT_FOLDER}."
    ),
]


def one_of(names: Iterable[str]) -> str:
    """Help text that lists what may be chosen."""
    return f"One of {', '.join(names)}."


def auto_option(kind: type[T], help_text: str, known: Sequence[str] = ()) -> Any:
    """An option whose value may be `auto`, which is its default and reads as None; `fit` then chooses.

    Folders take what suits their images, and published data sets a constant.
    """

    def parse(text: str) -> T | None:
        if known and text not in (AUTO, *known):
            raise typer.BadParameter(f"{text!r} is neither {AUTO} nor one of {', '.join(known)}")
        try:
            return None if text == AUTO else kind(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is neither {AUTO} nor {KINDS[kind]}") from None

    return typer.Option(help=help_text, parser=parse, metavar=f"{AUTO}|{kind.__name__}", show_default=AUTO)


def main() -> None:
    """Run a command; an error that the user can mend is one line, not a traceback."""
    try:
        app()
    except (UserError, OSError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback()
def commands() -> None:
    """Train, evaluate and export capsule networks."""
