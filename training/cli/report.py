"""Report on models: what their poses mean, figures and drawings."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status

from capsnet.card import CARD_FILE
from training.cli.app import DataFolder, app, console
from training.reporting.tables import meaning_table, print_full_width


@app.command()
def meaning(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    data: DataFolder = None,
    dataset: Annotated[str | None, typer.Option(help="Default: what the model was trained on.")] = None,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp the names into the card.")] = False,
) -> None:
    """Measure what each pose dimension of each class means, on training images, and name those that are clear."""
    from training.evaluation.evaluate import open_with_training_images, replace_card
    from training.evaluation.pose_meaning import measure_poses, properties_of

    card, network, training = open_with_training_images(model, dataset, data)
    with console.status("measuring") as status:
        measured = measure_poses(
            network, card, training, watch=lambda name: status.update(f"measuring class {name}")
        )
    columns = properties_of(card)
    names = {label: named for label, each in measured.items() if (named := each.label_dims(columns))}
    print_full_width(meaning_table(measured, columns))
    if write:
        replace_card(model, replace(card, pose_meaning=names))


@app.command()
def report(
    models: Annotated[
        list[Path], typer.Argument(help="Exported models to draw and measure; checkpoints to attack alone.")
    ],
    output: Annotated[
        Path, typer.Option(help="Gets images/NAME-….png and results/NAME.json; its results.md is filled.")
    ] = Path("docs"),
    dataset: Annotated[str | None, typer.Option(help="Default: what each model was trained on.")] = None,
    data: DataFolder = None,
    example: Annotated[
        int | None,
        typer.Option(help="Class whose pose is moved, counted from 0.", show_default="2, or the last", min=0),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack and nothing else, beside what others did before; may repeat."),
    ] = None,
    attack_images: Annotated[
        int | None,
        typer.Option(
            help="Test images to attack; fewer are quicker. Without it exported models are not attacked.",
            show_default="1000 of a checkpoint",
            min=1,
        ),
    ] = None,
) -> None:
    """Make the figures and numbers of docs/results.md.

    An exported model is drawn and measured: reconstructions, perturbations, what pose dimensions mean, confusion,
    calibration, the worst mistakes, or how pairs are told apart. Models of shifted digits are compared by how well they
    know deformed ones. With `--attack-images` an exported model is attacked too; a checkpoint always is.
    """
    from training.reporting.report import ATTACKED, compare, report_attacks, report_model
    from training.reporting.results_page import render_results_page

    with console.status("reading") as status:
        for path in models:
            watch = partial(_watch, status, path.resolve().name)
            if path.suffix != ".safetensors" and not attack:
                report_model(path, dataset, data, output, example=example, watch=watch)
            if path.suffix == ".safetensors" or attack or attack_images is not None:
                report_attacks(
                    path,
                    dataset,
                    data,
                    output,
                    images=attack_images or ATTACKED,
                    watch=watch,
                    names=attack or (),
                )
    compare(output)
    for page in render_results_page(output):
        console.print(f"{page}", highlight=False)


@app.command()
def cards(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Folders of exported models; default: all in artifacts/.")
    ] = None,
) -> None:
    """Write the model card in Markdown, README.md, of each model from its card.json."""
    from training.reporting.model_cards import write_model_card
    from training.reporting.results_page import ARTIFACTS

    for folder in models or sorted(path.parent for path in ARTIFACTS.glob(f"*/{CARD_FILE}")):
        console.print(f"{write_model_card(folder)}", highlight=False)


def _watch(status: Status, name: str, what: str) -> None:
    console.print(f"{name}: {what}", highlight=False)
    status.update(f"{name}: {what}")
