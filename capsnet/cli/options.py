"""Define the options of the commands, each in one place."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Format = Literal["table", "jsonl", "csv"]

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="Files, folders (with their sub-folders), patterns such as 'scans/**/*.png', or - for standard input.",
        show_default=False,
    ),
]
Server = Annotated[
    str, typer.Option("--server", envvar="CAPSNET_SERVER", metavar="URL", help="Address of the service.")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="CAPSNET_API_KEY",
        metavar="KEY",
        help="Key, if the service asks for one. Better in the variable, which lists of processes do not show.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Name of the model; by default the service's default model.")
]
Preprocess = Annotated[
    str | None,
    typer.Option("--preprocess", help="none, mnist, fashion or resize; by default as the model's card says."),
]
Label = Annotated[
    str | None,
    typer.Option("--label", help="Class whose capsule is drawn; by default that of the longest capsule."),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        "-f",
        help="By default a table on a terminal, and jsonl elsewhere; jsonl and csv hold the whole answer.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Save drawings as PNG files in this folder.",
        show_default=False,
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Number of requests at a time.")]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        min=0,
        max=1000,
        help="Retries of a request that finds no server, or a busy one (429, 502, 503, 504).",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", min=0.1, max=86400, metavar="SECONDS", help="Time for one request with its retries."
    ),
]

# The options of every command that asks a service. The defaults are those of `capsnet`, which help does not import.
COMMON = {
    "output_format": (OutputFormat, None),
    "jobs": (Jobs, 4),
    "model": (Model, None),
    "server": (Server, "http://127.0.0.1:8000"),
    "api_key": (ApiKey, None),
    "retries": (Retries, 5),
    "timeout": (Timeout, 60.0),
}


def with_common_options(
    *, without: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options `COMMON` to a command, and passes them as its parameter `common`.

    Options named in `without` are not added; the command gets their default.
    """
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in COMMON.items()
        if name not in without
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(**values: Any) -> None:
            from capsnet.cli.commands import CommonOptions

            given = {each.name: values.pop(each.name) for each in added}
            command(common=CommonOptions(**{name: COMMON[name][1] for name in without} | given), **values)

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "common"]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + added
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return decorate
