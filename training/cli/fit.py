"""The command line of training. Each command only reads its options; the work is done in the module it names."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from rich.console import Console
from rich.status import Status

from model.checkpoint import load_network
from model.contract import (
    InputSpec,
    Metrics,
    ModelConfig,
    Preprocess,
    UserError,
)
from model.zoo import ARCHITECTURES, refuse_unused
from training.augment import AUGMENTATIONS
from training.batches import split
from training.datasets import DATA_VARIABLE, DEFAULT_FOLDER, DERIVED, NAMES, describe, load, portable
from training.earlier import Start, fingerprint
from training.provenance import provenance
from training.recipe import TEACHER_WEIGHT, Precision, Recipe, Schedule, default_augmentation
from training.runs import STATE, Origin, RunError, Stop
from training.tables import in_words, meaning_table, metrics_table, names_of, print_whole, speed_table

Accelerator = Literal["auto", "cpu", "cuda"]
# Fewer validation images than this say little about where a class ends.
FEW_IMAGES = 200
# Training images that int8 takes its ranges from.
CALIBRATION_IMAGES = 512
# Augmented copies of each image that models are compared by.
COPIES = 8

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(stderr=True)

DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar=DATA_VARIABLE, help=f"Folder with the data sets; default: ./{DEFAULT_FOLDER}."
    ),
]


def one_of(names: Iterable[str]) -> str:
    """Help text that lists what may be chosen."""
    return f"One of {', '.join(names)}."


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


@app.command()
def fit(
    dataset: Annotated[
        str,
        typer.Option(help=f"{one_of(NAMES)[:-1]}, or folder:PATH (one sub-folder a class)."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run: checkpoints and logs.")],
    architecture: Annotated[str, typer.Option(help=one_of(ARCHITECTURES))] = "efficient",
    epochs: Annotated[int, typer.Option(min=1)] = 40,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop after this epoch; the rates stay those of --epochs.")
    ] = None,
    until_error: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Stop after the first epoch with no larger a share of validation images wrong."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the folder's run stopped.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Checkpoint or exported model whose weights to begin with, for a further stage."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Checkpoint or exported model whose answers to learn beside the labels."),
    ] = None,
    teacher_weight: Annotated[
        float | None,
        typer.Option(
            help="The teacher's share in what is asked; the rest is the label's.",
            show_default=str(TEACHER_WEIGHT),
        ),
    ] = None,
    data: DataFolder = None,
    seed: Annotated[int, typer.Option(help="Of weights, split, order and augmentation.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images a step, over all devices together.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Adam's peak rate.")] = 1e-3,
    schedule: Annotated[Schedule, typer.Option()] = "cosine",
    decay: Annotated[float, typer.Option(help="Factor an epoch of the exponential schedule.")] = 0.97,
    floor: Annotated[float, typer.Option(help="Smallest learning rate.")] = 1e-6,
    warmup: Annotated[int, typer.Option(help="Steps of linear rise at the start.")] = 200,
    ema: Annotated[
        float, typer.Option(help="Decay of the moving average of the weights; 0 for none.")
    ] = 0.999,
    augmentation: Annotated[str | None, typer.Option(help=one_of(AUGMENTATIONS))] = None,
    reconstruction_weight: Annotated[float, typer.Option(help="Of the summed squared error.")] = 0.0005,
    validation: Annotated[int, typer.Option(help="Images cut off to validate; at most a tenth.")] = 5000,
    primary_capsules: Annotated[int, typer.Option(help="Of efficient and cnn-small.")] = 16,
    routing_iterations: Annotated[int, typer.Option(help="Of capsnet and shared.")] = 3,
    pose_dim: Annotated[int, typer.Option(help="Dimensions of a class capsule.")] = 16,
    class_bias: Annotated[bool, typer.Option("--class-bias", help="Learned bias a class capsule.")] = False,
    detach_routing: Annotated[
        bool, typer.Option("--detach-routing", help="Gradient of the last only.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Folders: side of the square input, pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Folders: 1 (grey) or 3 (colour).")] = None,
    preprocess: Annotated[Preprocess | None, typer.Option(help="Folders: how pictures are read.")] = None,
    accelerator: Annotated[
        Accelerator, typer.Option(help="auto takes a CUDA device if there is one.")
    ] = "auto",
    devices: Annotated[int, typer.Option(help="Devices or processes.", min=1)] = 1,
    precision: Annotated[Precision | None, typer.Option(help="Default: bfloat16 where it is fast.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="With torch.compile, which needs a C++ compiler; for GPUs.")
    ] = False,
) -> None:
    """Train a network; safe to kill at any moment and to go on with --resume."""
    from lightning_fabric import Fabric  # slow to import, and only this command needs it

    from training.fit import Trainer
    from training.progress import Display
    from training.teacher import Teacher

    if teacher is None and teacher_weight is not None:
        raise RunError("--teacher-weight: says how much to learn from a --teacher, and there is none")
    info = describe(dataset, spec=_folder_input(dataset, image_size, channels, preprocess))
    config = ModelConfig(
        architecture=architecture,
        num_classes=len(info.classes),
        channels=info.input.channels,
        height=info.input.height,
        width=info.input.width,
        pose_dim=pose_dim,
        primary_capsules=primary_capsules,
        routing_iterations=routing_iterations,
        class_bias=class_bias,
        detach_routing=detach_routing,
    )
    recipe = Recipe(
        dataset=dataset,
        config=config,
        input=info.input,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        decay=decay,
        floor=floor,
        warmup=warmup,
        ema=ema,
        augmentation=augmentation or default_augmentation(info),
        reconstruction_weight=reconstruction_weight,
        validation=validation,
        seed=seed,
        precision=precision or fast_precision(accelerator),
        start="" if start_from is None else fingerprint(start_from),
        teacher="" if teacher is None else fingerprint(teacher),
        teacher_weight=TEACHER_WEIGHT if teacher_weight is None else teacher_weight,
    )
    refuse_unused(config)
    if not resume and (output / STATE).exists():
        raise RunError(f"{output}: holds a run already; give --resume to go on with it, or another --output")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # `Display` says what is in use
    fabric = Fabric(accelerator=_accelerator(accelerator), devices=devices, precision=recipe.precision)
    fabric.launch()
    training = load(dataset, "train", data, spec=info.input)
    start = None if start_from is None else Start.read(start_from, recipe, training)
    taught_by = None if teacher is None else Teacher.read(teacher, recipe, training, info.classes)
    stop = Stop(until=until, until_error=until_error)
    made_by = provenance(recipe, start, stop, taught_by)
    trainer = Trainer(fabric, recipe, info, training, output, made_by, start, taught_by, compiled=compiled)
    if resume:
        trainer.resume()
    quiet = not fabric.is_global_zero
    where = f"{devices} × {fabric.device.type}, {recipe.precision}"
    if trainer.fresh and not quiet:
        console.print(
            f"other classes than {start_from} has: {', '.join(trainer.fresh)} begin fresh", highlight=False
        )
    with Display(console, epochs, batch_size, output, where=where, quiet=quiet) as display:
        best = trainer.run(display, stop)
    if not quiet:
        console.print(f"best epoch {best.epoch}: validation error {100 * best.validation_error:.2f} %")
        last = trainer.position.history[-1]
        if until_error is not None:
            met = "" if stop.met_by(last) else f", which is not the {100 * until_error:g} % to stop at"
            console.print(
                f"last epoch {last.epoch}: validation error {100 * last.validation_error:.2f} %{met}"
            )


@app.command()
def blend(
    earlier: Annotated[Path, typer.Argument(help="Checkpoint or exported model that a run began with.")],
    later: Annotated[Path, typer.Argument(help="Checkpoint of that run, usually RUN/best.safetensors.")],
    output: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="The later one's, of every weight.")] = 0.5,
    data: DataFolder = None,
) -> None:
    """Write the network between the weights that a run began with and those that it came to."""
    from training.blend import blend as between

    result = between(earlier, later, output, share, data)
    console.print(
        f"{output}: validation error {100 * result.validation_error:.2f} %  "
        f"margin {result.validation_margin_loss:.5f}",
        highlight=False,
    )


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
        # Asked anew before each, because a stage that has begun since is resumed.
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

    for name, row in RECIPES.items():
        epochs = " + ".join(str(stage.get("until", stage["epochs"])) for stage in row.stages)
        seeds = ", ".join(map(str, row.seeds))
        typer.echo(f"{name:<34}{row.dataset:<18}{row.architecture:<12}epochs {epochs:<18}seeds {seeds}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint, usually RUN/best.safetensors.")],
    output: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    model_version: Annotated[str, typer.Option("--version", help="Version to write into the card.")] = "1",
    variants: Annotated[str, typer.Option(help="More encoders, of int8,fp16; for example int8,fp16.")] = "",
    data: DataFolder = None,
) -> None:
    """Export a checkpoint as two ONNX graphs and a card, compared with PyTorch before anything is kept.

    The training set is read for its validation images, and for those that int8 takes its ranges from; the test set is
    not. A variant that loses accuracy is refused with its figures, and the model stays without variants.
    """
    from model.export import Description
    from model.export import export as export_network
    from model.variants import add_variants, read_precisions

    precisions = read_precisions(variants)
    network, header = load_network(checkpoint)
    origin = Origin.read(checkpoint, header)
    recipe, training = origin.recipe, origin.images(checkpoint, data)
    fitted, held_out = split(training, recipe, torch.device("cpu"))
    if len(held_out) < FEW_IMAGES:
        console.print(f"only {len(held_out)} validation images: the guard's thresholds will be rough")
    name = output.resolve().name
    description = Description(
        name=name,
        version=model_version,
        classes=tuple(header["classes"]),
        input=recipe.input,
        objects=header["objects"],
        training={
            "dataset": portable(recipe.dataset),
            "data": training.fingerprint(),
            **header["provenance"],
            "training_images": len(fitted),
            "validation_images": len(held_out),
            "best_epoch": header["result"]["epoch"],
            "validation_error": header["result"]["validation_error"],
        },
    )
    validation = held_out.floats(slice(None)).numpy()
    samples = np.concatenate([validation[:7], fitted.first(7).numpy()])
    card = export_network(network, description, output, samples, validation)
    console.print(f"{output}: {name} version {card.version}, export {card.export_id}", highlight=False)
    if precisions:
        calibration = fitted.first(CALIBRATION_IMAGES).numpy()
        card = add_variants(output, precisions, calibration, validation, held_out.labels.numpy())
        for precision, variant in card.variants.items():
            console.print(f"  {precision}: {in_words(variant.validation)}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Exported models (folders) or checkpoints.")],
    dataset: Annotated[str | None, typer.Option(help="Default: what each model was trained on.")] = None,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model and variant.")] = False,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp the figures into the card.")] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Exported models: also time each encoder on one thread.")
    ] = False,
) -> None:
    """Measure models on a test set: error, margin loss, reconstruction error, share accepted by the guard."""
    from training.evaluate import evaluate_model, write_card
    from training.timing import measure_speeds

    rows = []
    speeds = {path: measure_speeds(path) for path in models if speed and path.is_dir()}
    for path in models:
        figures = evaluate_model(path, dataset, data)
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
        print_whole(speed_table(path, measured))


@app.command()
def validate(
    models: Annotated[list[Path], typer.Argument(help="Exported models (folders) or checkpoints.")],
    augmentation: Annotated[
        str | None, typer.Option(help=f"Measure on augmented copies instead. {one_of(AUGMENTATIONS)}")
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
    from training.validation import Copies, validate_models

    if augmentation is None and copies is not None:
        raise RunError("--copies: are of what --augmentation makes of the images, and none is given")
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


@app.command()
def meaning(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    data: DataFolder = None,
    dataset: Annotated[str | None, typer.Option(help="Default: what the model was trained on.")] = None,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp the names into the card.")] = False,
) -> None:
    """Measure what each pose dimension of each class means, on training images, and name those that are clear."""
    from model.onnx_model import open_variants
    from training.evaluate import check_classes, replace_card
    from training.meaning import measure_poses, properties_of

    card, variants = open_variants(model)
    name = dataset or str(card.training["dataset"])
    check_classes(model, card.classes, card.input, card.objects, name)
    training = load(name, "train", data, spec=card.input)
    with console.status("measuring") as status:
        measured = measure_poses(
            variants["fp32"], card, training, watch=lambda name: status.update(f"measuring class {name}")
        )
    columns = properties_of(card)
    names = {label: named for label, each in measured.items() if (named := each.named(columns))}
    print_whole(meaning_table(measured, columns))
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
    from training.report import ATTACKED, compare, report_attacks, report_model
    from training.results import fill

    with console.status("reading") as status:
        for path in models:
            watch = partial(_watch, status, path.resolve().name)
            if path.suffix != ".safetensors":
                report_model(path, dataset, data, output, example=example, watch=watch)
            if path.suffix == ".safetensors" or attack_images is not None:
                report_attacks(path, dataset, data, output, images=attack_images or ATTACKED, watch=watch)
    compare(output)
    for page in fill(output):
        console.print(f"{page}", highlight=False)


def _watch(status: Status, name: str, what: str) -> None:
    console.print(f"{name}: {what}", highlight=False)
    status.update(f"{name}: {what}")


@app.command()
def download(
    names: Annotated[list[str], typer.Argument(help="mnist, fashion_mnist")],
    data: DataFolder = None,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder with the four files.")] = None,
) -> None:
    """Fetch published data sets; what is kept has been verified, an interrupted download goes on."""
    from training.download import MIRRORS
    from training.download import download as fetch

    published = list(dict.fromkeys(DERIVED[name].source if name in DERIVED else name for name in names))
    fetch(
        published,
        data or DEFAULT_FOLDER,
        MIRRORS if mirror is None else {name: [mirror] for name in published},
    )


def _show(paths: list[Path], rows: list[tuple[Path, str, Metrics]]) -> None:
    names = names_of(paths)
    print_whole(metrics_table([(names[path], variant, metrics) for path, variant, metrics in rows]))


def _folder_input(
    dataset: str, size: int | None, channels: int | None, preprocess: Preprocess | None
) -> InputSpec | None:
    if size is None and channels is None and preprocess is None:
        return None
    side = 28 if size is None else size
    mode: Preprocess = preprocess or "resize"
    return InputSpec(channels=channels or 1, height=side, width=side, preprocess=mode)


def _accelerator(wanted: Accelerator) -> str:
    """What to ask Fabric for. Apple's GPUs have no float64, which the keyed random numbers need."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RunError("--accelerator cuda: PyTorch finds no CUDA device; --accelerator cpu trains without")
    return wanted


def fast_precision(wanted: Accelerator) -> Precision:
    """bfloat16 where the chip computes in it; elsewhere it is emulated and slower than float32."""
    if _accelerator(wanted) == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
