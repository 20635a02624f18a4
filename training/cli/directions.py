"""Measure the directions of poses, and whether explanations are faithful."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from capsnet.card import CardError, PoseDirection
from capsnet.transforms import PROPERTIES
from training.cli.app import DataFolder, app, console
from training.data.datasets import load
from training.reporting.tables import directions_table, print_full_width
from training.trainer.config import one_of

if TYPE_CHECKING:
    from training.evaluation.pose_directions import MeasuredDirection

# Training images of each class; enough to fit a linear map of sixteen dimensions.
IMAGES = 120


@app.command()
def directions(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    data: DataFolder = None,
    dataset: Annotated[str | None, typer.Option(help="Default: what the model was trained on.")] = None,
    images: Annotated[int, typer.Option(min=60, help="Training images of each class.")] = IMAGES,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            help=f"Only this one, beside what others measured before; may repeat. {one_of(list(PROPERTIES))}",
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp what holds into the card.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder such as docs: gets results/NAME.json and images/NAME-interpolation.png; fills results.md."
        ),
    ] = None,
) -> None:
    """Measure how the pose moves as an image turns, slants, widens, thickens or shifts, and keep what holds.

    Training images of each class are transformed in nine steps and read through the exported encoder. One direction for
    the class is compared with a linear map of the pose, both on held-out images.
    """
    from training.evaluation.evaluate import open_with_training_images, replace_card
    from training.evaluation.pose_directions import measure_directions
    from training.reporting.direction_plots import interpolation
    from training.reporting.report import save_results
    from training.reporting.results_page import read_results, render_results_page

    card, network, training = open_with_training_images(model, dataset, data)
    with console.status("measuring") as status:
        measured = measure_directions(
            network,
            card,
            training,
            names=properties or PROPERTIES,
            limit=images,
            watch=lambda label: status.update(f"measuring class {label}"),
        )
    print_full_width(directions_table(measured))
    if write:
        named = {
            label: holding
            for label, rows in measured.items()
            if (holding := _named(card.pose_directions.get(label, ()), rows))
        }
        replace_card(model, replace(card, pose_directions=named))
    if output is not None:
        scores = {label: [_without_vectors(row) for row in rows] for label, rows in measured.items()}
        for before in read_results(output) if properties else []:
            if before["model"] == card.name and "directions" in before:
                scores = {
                    label: _merged(before["directions"]["classes"][label], rows)
                    for label, rows in scores.items()
                }
        what = {"model": card.name, "version": card.version}
        save_results(output, card.name, what | {"directions": {"images": images, "classes": scores}})
        if card.objects == 1:
            interpolation(network, card, training, output / "images" / f"{card.name}-interpolation.png")
        render_results_page(output)


@app.command()
def linearity(
    models: Annotated[list[Path], typer.Argument(help="Exported models of one data set and split.")],
    data: DataFolder = None,
    images: Annotated[int, typer.Option(min=20, help="Held-out images.")] = 200,
) -> None:
    """Measure how straight poses move as images turn, slant, widen or shift, beside the features of a CNN.

    All models read the same images, which were held out of the training of each. The table is Markdown.
    """
    import torch

    from capsnet.onnx_model import open_variants
    from training.evaluation.linearity import measure_linearity
    from training.reporting.results_page import markdown
    from training.trainer.data_lineage import DataLineage
    from training.trainer.device_data import held_out

    opened = [open_variants(path) for path in models]
    for path, (card, _) in zip(models, opened, strict=True):
        if card.objects > 1:
            raise CardError(f"{path}: looks for {card.objects} objects, and one is moved here")
    lineages = [DataLineage.of_model(path, card) for path, (card, _) in zip(models, opened, strict=True)]
    first = lineages[0]
    training = load(first.dataset, "train", data, spec=opened[0][0].input)
    for path, lineage in zip(models, lineages, strict=True):
        if lineage.data != first.data or lineage.overlaps(first.dataset, training, first.seed, images):
            raise CardError(f"{path}: may have been trained on images that {models[0]} held out")
    kept = held_out(training, first.seed, images, torch.device("cpu")).validation_scenes(first.seed)
    arrays, labels = kept.floats(slice(None)).numpy(), kept.labels.numpy()
    rows = []
    for name in PROPERTIES:
        for card, variants in opened:
            found = measure_linearity(variants["fp32"], arrays, labels, name)
            rows.append([name, f"`{card.name}`", *(f"{value:.3f}" for value in asdict(found).values())])
    heading = ["property", "model", "R², a line of its own", "R², the class's line", "smallest length"]
    console.print(markdown(heading, rows, left=2), highlight=False)


@app.command()
def faithfulness(
    model: Annotated[Path, typer.Argument(help="Exported model that looks for one object.")],
    data: DataFolder = None,
    images: Annotated[int, typer.Option(min=1, help="Test images, from the first.")] = 100,
    output: Annotated[
        Path | None, typer.Option(help="Folder such as docs: gets results/NAME.json; fills results.md.")
    ] = None,
) -> None:
    """Measure whether what an explanation ranks first is evidence: cover it, and see how soon the capsule shortens.

    Occlusion and, where the capsules have a place, votes are held against random orders.
    """
    from capsnet.explanation.votes import RoutingGraph
    from capsnet.onnx_model import open_variants
    from training.evaluation.faithfulness import measure_faithfulness
    from training.reporting.direction_plots import draw_deletion
    from training.reporting.report import save_results
    from training.reporting.results_page import read_results, render_results_page

    card, variants = open_variants(model)
    graph, grid = (RoutingGraph.open(card, model), card.routing.grid) if card.routing else (None, None)
    test = load(str(card.training["dataset"]), "test", data, spec=card.input)
    arrays = test.images[:images].astype(np.float32) / 255
    found = asdict(measure_faithfulness(variants["fp32"], arrays, graph, grid))
    figures = {name: value for name, value in found.items() if isinstance(value, int | float)}
    console.print(", ".join(f"{name} {value:.3g}" for name, value in figures.items()), highlight=False)
    if output is not None:
        save_results(output, card.name, {"model": card.name, "version": card.version, "faithfulness": found})
        curves = [each for each in read_results(output) if each.get("faithfulness", {}).get("curves")]
        draw_deletion(curves, output / "images" / "deletion.png")
        render_results_page(output)


def _named(before: Sequence[PoseDirection], rows: "Sequence[MeasuredDirection]") -> tuple[PoseDirection, ...]:
    """Return the directions for the card: those that hold now, and the earlier ones of unmeasured properties."""
    measured = {row.direction.property for row in rows}
    all_named = [each for each in before if each.property not in measured]
    all_named += [row.direction for row in rows if row.holds]
    return tuple(sorted(all_named, key=lambda each: list(PROPERTIES).index(each.property)))


def _merged(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge new scores of a class with earlier ones; new scores replace those of the same property."""
    every = {row["property"]: row for row in (*before, *rows)}
    return [every[name] for name in PROPERTIES if name in every]


def _without_vectors(row: "MeasuredDirection") -> dict[str, Any]:
    """Return the scores of a measured direction for results/NAME.json, without vectors, which the card has."""
    whole = asdict(row)
    direction: dict[str, Any] = whole.pop("direction")
    matrix = direction.pop("matrix")
    del direction["vector"]
    return direction | whole | {"by": "vector" if matrix is None else "map"}
