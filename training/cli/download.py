"""Fetch data sets."""

from typing import Annotated

import typer

from training.cli.app import DataFolder, app
from training.data.datasets import DEFAULT_FOLDER, DERIVED


@app.command()
def download(
    names: Annotated[list[str], typer.Argument(help="mnist, fashion_mnist")],
    data: DataFolder = None,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder with the four files.")] = None,
) -> None:
    """Fetch published data sets; kept files have been verified, and an interrupted download goes on."""
    from training.data.download import MIRRORS
    from training.data.download import download as fetch

    published = list(dict.fromkeys(DERIVED[name].source if name in DERIVED else name for name in names))
    fetch(
        published,
        data or DEFAULT_FOLDER,
        MIRRORS if mirror is None else {name: [mirror] for name in published},
    )
