"""Define the commands and their options. `capsnet.cli.commands` does the work; help does not import it."""

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from capsnet import __version__
from capsnet.cli.exit_codes import HELP
from capsnet.cli.options import Images, Label, Output, Preprocess, with_common_options

if TYPE_CHECKING:
    from capsnet.cli.commands import CommonOptions

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command."""
    if sys.stdout is None:  # closed by the shell with >&-
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    app(prog_name="capsnet")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"capsnet {__version__}")
        raise typer.Exit


@app.callback(epilog=HELP)
def capsnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Ask a capsule-network service for the class and the pose in images, and for drawings with the pose moved."""


@app.command(epilog=HELP)
@with_common_options()
def classify(
    common: "CommonOptions",
    images: Images,
    preprocess: Preprocess = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k", min=1, help="Number of classes; by default one, or two for a model of pairs."
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Let the guard check whether the image is like training images."
        ),
    ] = True,
    fail_on_refused: Annotated[
        bool, typer.Option("--fail-on-refused", help="Exit with status 5 if the guard refuses an image.")
    ] = False,
) -> None:
    """Classify each image, and check whether it is like the training images."""
    if fail_on_refused and not verify:
        raise typer.BadParameter("needs the guard; leave --no-verify out", param_hint="--fail-on-refused")
    from capsnet.cli import commands

    asked = {"preprocess": preprocess, "top_k": top_k, "verify": verify}
    commands.classify(common, images, asked, fail_on_refused)


@app.command(epilog=HELP)
@with_common_options()
def read(
    common: "CommonOptions",
    images: Images,
    drawings: Annotated[
        bool, typer.Option("--reconstruct", help="Add the drawing of each digit's capsule (JSON and CSV).")
    ] = False,
) -> None:
    """Read every digit in each image, in reading order."""
    from capsnet.cli import commands

    commands.ask_each(common, "read", images, {"reconstruct": drawings})


@app.command(epilog=HELP)
@with_common_options()
def reconstruct(
    common: "CommonOptions",
    images: Images,
    move: Annotated[
        list[str] | None,
        typer.Option(
            "--move",
            "-m",
            metavar="DIM=DELTA",
            help="Add DELTA to a dimension of the pose, counted from 0; repeatable.",
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(
            "--direction",
            "-d",
            metavar="NAME=AMOUNT",
            help="Move the whole pose: slant=12 slants by 12 degrees; repeatable. The card names the directions.",
        ),
    ] = None,
    label: Label = None,
    output: Output = None,
    preprocess: Preprocess = None,
) -> None:
    """Draw each image again from its longest capsule, and with the pose moved."""
    moves = dict(map(parse_move, move or []))
    directions = dict(map(parse_direction, direction or []))
    if len(directions) < len(direction or []):
        raise typer.BadParameter("each direction may be given once", param_hint="--direction")
    if len(moves) < len(move or []):
        raise typer.BadParameter("each dimension may be moved once", param_hint="--move")
    from capsnet.cli import commands

    asked = {"moves": moves, "directions": directions, "label": label, "preprocess": preprocess}
    commands.ask_each(common, "reconstruct", images, asked, output)


@app.command(epilog=HELP)
@with_common_options()
def sweep(
    common: "CommonOptions",
    images: Images,
    dims: Annotated[
        str | None,
        typer.Option(
            "--dims", metavar="DIM,DIM,…", help="Dimensions of the pose, counted from 0; by default all."
        ),
    ] = None,
    directions: Annotated[
        str | None,
        typer.Option(
            "--directions", metavar="NAME,NAME,…", help="Directions that the card names, such as slant,width."
        ),
    ] = None,
    minimum: Annotated[float, typer.Option("--min", min=-2.0, max=2.0, help="Smallest delta.")] = -0.25,
    maximum: Annotated[float, typer.Option("--max", min=-2.0, max=2.0, help="Largest delta.")] = 0.25,
    steps: Annotated[int, typer.Option("--steps", min=2, max=51, help="Steps from one to the other.")] = 11,
    label: Label = None,
    output: Output = None,
    preprocess: Preprocess = None,
) -> None:
    """Draw a sheet of each image with its pose moved: a row for each dimension or direction, a column for each step."""
    rows = None if dims is None else parse_dims(dims)
    names = None if directions is None else directions.split(",")
    from capsnet.cli import commands

    asked = {
        "dims": rows, "directions": names, "minimum": minimum, "maximum": maximum, "steps": steps,
        "label": label, "preprocess": preprocess,
    }  # fmt: skip
    commands.ask_each(common, "sweep", images, asked, output)


@app.command(epilog=HELP)
@with_common_options()
def transform(
    common: "CommonOptions",
    images: Images,
    by: Annotated[
        str,
        typer.Option(
            "--by", help="rotation, slant, width, height, size, weight, shift_x or shift_y.", metavar="NAME"
        ),
    ] = "rotation",
    minimum: Annotated[
        float | None, typer.Option("--min", help="First amount: degrees, per cent or pixels.")
    ] = None,
    maximum: Annotated[float | None, typer.Option("--max", help="Last amount.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=2, max=51, help="Steps from one to the other.")] = 13,
    label: Label = None,
    output: Output = None,
    preprocess: Preprocess = None,
) -> None:
    """Turn, slant, scale, thicken or shift each image in steps, and compare its pose with the predicted one."""
    from capsnet.cli import commands

    asked = {
        "by": by, "minimum": minimum, "maximum": maximum, "steps": steps, "label": label,
        "preprocess": preprocess,
    }  # fmt: skip
    commands.ask_each(common, "transform", images, asked, output)


@app.command(epilog=HELP)
@with_common_options()
def explain(
    common: "CommonOptions",
    images: Images,
    method: Annotated[
        Literal["votes", "occlusion"] | None,
        typer.Option("--method", help="By default votes, if the model has them.", show_default=False),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Class to explain; by default that of the longest capsule.")
    ] = None,
    output: Output = None,
    preprocess: Preprocess = None,
) -> None:
    """Locate the evidence for the class of each image: by the votes of capsules, or by occlusion."""
    from capsnet.cli import commands

    asked = {"method": method, "label": label, "preprocess": preprocess}
    commands.ask_each(common, "explain", images, asked, output)


@app.command(epilog=HELP)
@with_common_options()
def evaluate(
    common: "CommonOptions",
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder with one sub-folder for each class, named like the class."
        ),
    ],
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Load the model in this process instead of asking a service.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Draw a sheet of the mistakes as a PNG file."),
    ] = None,
) -> None:
    """Measure a model on a folder with one sub-folder for each class: accuracy, confusions, a sheet of mistakes."""
    from capsnet.cli import commands

    commands.evaluate(common, folder, output, in_process)


@app.command(epilog=HELP)
@with_common_options(without=("model", "jobs"))
def models(common: "CommonOptions") -> None:
    """List the models in service."""
    from capsnet.cli import commands

    commands.models(common)


@app.command()
def serve(
    models: Annotated[
        Path | None,
        typer.Option(
            "--models", metavar="FOLDER", help="Folder of the models; by default those of this installation."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="Address to listen on, 127.0.0.1 by default; 0.0.0.0 is every interface."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="TCP port, 8000 by default.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=256, help="Processes that share the port, 1 by default."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Run the service. Options override environment variables, which hold all other settings."""
    from capsnet.cli.serve import serve as run

    options = {"models": models, "host": host, "port": port, "workers": workers}
    run({name: value for name, value in options.items() if value is not None}, open_browser)


def parse_move(text: str) -> tuple[int, float]:
    """Parse the text "3=0.1" to (3, 0.1); raises BadParameter where the text is not DIM=DELTA."""
    dim, _, delta = text.partition("=")
    try:
        moved = _dimension(dim), float(delta)
    except ValueError:
        moved = 0, math.nan
    if not math.isfinite(moved[1]):
        raise typer.BadParameter(f"{text!r} should be DIM=DELTA, such as 3=0.1", param_hint="--move")
    return moved


def parse_direction(text: str) -> tuple[str, float]:
    """Parse the text "slant=12" to ("slant", 12.0); raises BadParameter where the text is not NAME=AMOUNT."""
    name, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise typer.BadParameter(
            f"{text!r} should be NAME=AMOUNT, such as slant=12", param_hint="--direction"
        )
    return name, value


def parse_dims(text: str) -> list[int]:
    """Parse the text "0,3" to [0, 3]; raises BadParameter where the text is no list of dimensions."""
    try:
        return [_dimension(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} should be dimensions with commas between them, such as 0,3", param_hint="--dims"
        ) from None


def _dimension(text: str) -> int:
    """Parse a dimension; raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise ValueError("no dimension of a pose")
    return int(text)
