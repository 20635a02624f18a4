"""Define the command-line application: options that commands share, and how errors are shown."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from capsnet.config import UserError
from training.data.datasets import DATA_VARIABLE, DEFAULT_FOLDER

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

console = Console(stderr=True)

DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar=DATA_VARIABLE, help=f"Folder with the data sets; default: ./{DEFAULT_FOLDER}."
    ),
]


def main() -> None:
    """Run a command; print an error that the user can correct as one line, not a traceback."""
    try:
        app()
    except (UserError, OSError) as error:
        console.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(1)


@app.callback()
def commands() -> None:
    """Train, evaluate and export capsule networks."""
