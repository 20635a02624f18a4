"""Run and list recipes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from training.cli.app import DataFolder, app
from training.data.datasets import DATA_VARIABLE


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="A row of docs/results.md; `recipes` lists them.")],
    seed: Annotated[list[int] | None, typer.Option(help="May repeat; default: those of the row.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for runs and models.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the commands.")] = False,
    data: DataFolder = None,
) -> None:
    """Train all stages of a recipe, export and evaluate; run again, it goes on where it stopped."""
    from training.recipes import commands as commands_of
    from training.recipes import find_recipe

    for each in seed or find_recipe(name).seeds:
        # Listed again before each command, because a stage that has begun since is resumed.
        for number in range(len(commands_of(name, each, output))):
            words = commands_of(name, each, output)[number]
            typer.echo(f"python -m training {' '.join(words)}")
            if not dry_run:
                _run(words, data)


def _run(words: list[str], data: Path | None) -> None:
    """Run a command of this module in a process of its own, which gives its memory back; exits if it fails."""
    environment = os.environ if data is None else {**os.environ, DATA_VARIABLE: str(data)}
    status = subprocess.run(  # noqa: S603  # the words are the recipe's
        [sys.executable, "-m", "training", *words], env=environment, check=False
    ).returncode
    if status:
        raise typer.Exit(status)


@app.command()
def recipes() -> None:
    """List the recipes and what each trains on what."""
    from training.recipes import RECIPES
    from training.reporting.tables import print_full_width, recipes_table

    print_full_width(recipes_table(RECIPES))
