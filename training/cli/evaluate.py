"""Measure models."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from capsnet.card import Metrics
from training.cli.app import DataFolder, app, console
from training.data.augmentation import AUGMENTATIONS
from training.reporting.tables import epochs_table, metrics_table, names_of, print_full_width, speed_table
from training.trainer.config import one_of
from training.trainer.run_state import TrainingError

# Augmented copies of each image, to compare models.
COPIES = 8


@app.command()
def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Exported models (folders) or checkpoints.")],
    dataset: Annotated[str | None, typer.Option(help="Default: what each model was trained on.")] = None,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model and variant.")] = False,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp the figures into the card.")] = False,
    draws: Annotated[
        int, typer.Option(min=1, help="Of the scenes of a composed test set, such as multimnist.")
    ] = 1,
    every_epoch: Annotated[
        bool, typer.Option("--every-epoch", help="Runs: measure every epoch that was kept (--keep-epochs).")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Exported models: also time each encoder on one thread.")
    ] = False,
) -> None:
    """Measure models on a test set: error, margin loss, reconstruction error, share accepted by the guard.

    With `--every-epoch` the paths are runs. Their table says which epoch the validation images chose, and which was
    best on the test set. The second figure is chosen on the test set: it compares with public figures of that kind and
    with no other.
    """
    from training.evaluation.evaluate import evaluate_epochs, evaluate_model, write_card
    from training.evaluation.speed import measure_speeds

    if every_epoch:
        for path in models:
            print_full_width(epochs_table(path, evaluate_epochs(path, dataset, data)))
        return
    rows = []
    speeds = {path: measure_speeds(path) for path in models if speed and path.is_dir()}
    for path in models:
        figures = evaluate_model(path, dataset, data, draws)
        rows += [(path, variant, metrics) for variant, metrics in figures.items()]
        if write and path.is_dir():  # a checkpoint has no card
            write_card(path, figures, speeds.get(path, {}))
    if as_json:
        names = names_of(models)
        for path, variant, metrics in rows:
            typer.echo(json.dumps({"model": names[path], "variant": variant, **asdict(metrics)}))
        return
    _show(models, rows)
    for path, measured in speeds.items():
        print_full_width(speed_table(path, measured))


@app.command()
def validate(
    models: Annotated[list[Path], typer.Argument(help="Exported models (folders) or checkpoints.")],
    augmentation: Annotated[
        str | None, typer.Option(help=f"Measure on augmented copies instead. {one_of(list(AUGMENTATIONS))}")
    ] = None,
    copies: Annotated[
        int | None, typer.Option(help=f"Of each image, with --augmentation; else {COPIES}.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="What all of them were trained on; needed where a folder:PATH has moved."),
    ] = None,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model and variant.")] = False,
) -> None:
    """Measure models on the images held out of their training, to choose one without the test set.

    Models of one data set and seed are measured on the same images. The best epoch of a run was chosen by them, which
    favours it a little; augmented copies show more of a difference than the images themselves.
    """
    from training.evaluation.validate import Copies, validate_models

    if augmentation is None and copies is not None:
        raise TrainingError("--copies: are of what --augmentation makes of the images, and none is given")
    made = None
    if augmentation is not None:
        made = Copies(augmentation=augmentation, count=COPIES if copies is None else copies)
    found = validate_models(models, dataset, data, made)
    if as_json:
        names = names_of(models)
        images = {"augmentation": augmentation, "copies": None if made is None else made.count}
        for each in found:
            what = {"model": names[each.path], "variant": each.variant, "held_out_by_seed": each.seed}
            typer.echo(json.dumps({**what, **images, **asdict(each.metrics)}))
        return
    seeds = sorted({each.seed for each in found})
    console.print(
        f"held out by seed {', '.join(map(str, seeds))}"
        + ("" if made is None else f", {made.count} × {made.augmentation}")
        + ("" if len(seeds) == 1 else ": each seed holds out others, so compare models of one"),
        highlight=False,
        soft_wrap=True,
    )
    _show(
        models,
        [(each.path, each.variant, each.metrics if len(seeds) == 1 else each.with_seed()) for each in found],
    )


def _show(paths: list[Path], rows: list[tuple[Path, str, Metrics]]) -> None:
    names = names_of(paths)
    print_full_width(metrics_table([(names[path], variant, metrics) for path, variant, metrics in rows]))
