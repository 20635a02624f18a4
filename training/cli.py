"""The command line of training. Each command only reads its options; the work is done in the module it names."""

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from model.checkpoint import CheckpointError, load_network
from model.contract import CardError, InputSpec, Metrics, ModelCard, ModelConfig, Preprocess
from model.zoo import ARCHITECTURES
from training.augment import AUGMENTATIONS
from training.batches import split
from training.datasets import DATA_VARIABLE, DEFAULT_FOLDER, FOLDER_PREFIX, DatasetError, describe, load
from training.recipe import Precision, Recipe, Schedule, default_augmentation
from training.runs import STATE, RunError

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
    except (DatasetError, CheckpointError, CardError, RunError, ValueError) as error:
        if isinstance(error, UnicodeError):
            raise
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)


@app.callback()
def commands() -> None:
    """Train, evaluate and export capsule networks."""


@app.command()
def fit(
    dataset: Annotated[
        str, typer.Option(help="mnist, fashion_mnist, or folder:PATH (one sub-folder a class).")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run: checkpoints and logs.")],
    architecture: Annotated[str, typer.Option(help=one_of(ARCHITECTURES))] = "efficient",
    epochs: Annotated[int, typer.Option(min=1)] = 40,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the folder's run stopped.")] = False,
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
    routing_iterations: Annotated[int, typer.Option(help="Of dynamic routing.")] = 3,
    pose_dim: Annotated[int, typer.Option(help="Dimensions of a class capsule.")] = 16,
    class_bias: Annotated[bool, typer.Option("--class-bias", help="Learned bias a class capsule.")] = False,
    detach_routing: Annotated[
        bool, typer.Option("--detach-routing", help="Gradient of the last only.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Folders: side of the square input, pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Folders: 1 (grey) or 3 (colour).")] = None,
    preprocess: Annotated[Preprocess | None, typer.Option(help="Folders: how pictures are read.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[int, typer.Option(help="Devices or processes.", min=1)] = 1,
    precision: Annotated[Precision | None, typer.Option(help="Default: bfloat16 where it is fast.")] = None,
) -> None:
    """Train a network; safe to kill at any moment and to go on with --resume."""
    from lightning_fabric import Fabric  # slow to import, and only this command needs it

    from training.fit import Trainer
    from training.progress import Display

    info = describe(dataset, spec=_folder_input(dataset, image_size, channels, preprocess))
    config = ModelConfig(
        architecture=architecture,
        num_classes=len(info.classes),
        channels=info.input.channels,
        height=info.input.height,
        width=info.input.width,
        pose_dim=pose_dim,
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
        precision=precision or _fast_precision(),
    )
    if not resume and (output / STATE).exists():
        raise RunError(f"{output}: holds a run already; give --resume to go on with it, or another --output")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces what was asked for
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=recipe.precision)
    fabric.launch()
    training = load(dataset, "train", data, spec=info.input)
    trainer = Trainer(fabric, recipe, info, training, output, provenance(recipe))
    if resume:
        trainer.resume()
    quiet = not fabric.is_global_zero
    with Display(console, epochs, batch_size, output, quiet=quiet) as display:
        best = trainer.run(display)
    if not quiet:
        console.print(f"best epoch {best.epoch}: validation error {100 * best.validation_error:.2f} %")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint, usually RUN/best.safetensors.")],
    output: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    model_version: Annotated[str, typer.Option("--version", help="Version to write into the card.")] = "1",
    data: DataFolder = None,
) -> None:
    """Export a checkpoint as two ONNX graphs and a card, compared with PyTorch before anything is kept.

    The training set is read for its validation images; the test set is not.
    """
    from model.export import Description
    from model.export import export as export_network

    network, header = load_network(checkpoint)
    recipe = Recipe.from_dict(header["recipe"])
    training = load(recipe.dataset, "train", data, spec=recipe.input)
    fitted, held_out = split(training, recipe, torch.device("cpu"))
    name = output.resolve().name
    description = Description(
        name=name,
        version=model_version,
        classes=tuple(header["classes"]),
        input=recipe.input,
        objects=header["objects"],
        training={
            "dataset": portable(recipe.dataset),
            **header["provenance"],
            "training_images": len(fitted),
            "validation_images": len(held_out),
            "best_epoch": header["result"]["epoch"],
            "validation_error": header["result"]["validation_error"],
        },
    )
    card = export_network(network, description, output, held_out.floats(slice(None)).numpy())
    console.print(f"{output}: {name} version {card.version}, export {card.export_id}", highlight=False)


@app.command()
def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Exported models (folders) or checkpoints.")],
    dataset: Annotated[str | None, typer.Option(help="Default: what each model was trained on.")] = None,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a model and variant.")] = False,
    write: Annotated[bool, typer.Option("--write-card", help="Stamp the figures into the card.")] = False,
) -> None:
    """Measure models on a test set: error, margin loss, reconstruction error, share accepted by the guard."""
    from training.evaluate import evaluate_model, write_card

    rows = []
    for path in models:
        figures = evaluate_model(path, dataset, data)
        rows += [(path, variant, metrics) for variant, metrics in figures.items()]
        if write and path.is_dir():  # a checkpoint has no card
            write_card(path, figures)
    if as_json:
        for path, variant, metrics in rows:
            typer.echo(json.dumps({"model": path.resolve().name, "variant": variant, **asdict(metrics)}))
    else:
        Console().print(_table(rows))


@app.command()
def report(
    model: Annotated[Path, typer.Argument(help="Exported model.")],
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("docs/images"),
    data: DataFolder = None,
    example: Annotated[int, typer.Option(help="Class whose pose is moved, counted from 0.", min=0)] = 2,
) -> None:
    """Draw what the model's capsules hold, on training images; writes NAME-reconstructions.png."""
    from training.figures import reconstructions

    card = ModelCard.load(model)
    training = load(str(card.training["dataset"]), "train", data, spec=card.input)
    images = training.images[:2000].astype("float32") / 255
    target = output / f"{card.name}-reconstructions.png"
    reconstructions(
        model, images, training.labels[:2000], target, example=min(example, len(card.classes) - 1)
    )
    console.print(f"{target}", highlight=False)


@app.command()
def download(
    names: Annotated[list[str], typer.Argument(help="mnist, fashion_mnist")],
    data: DataFolder = None,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder with the four files.")] = None,
) -> None:
    """Fetch published data sets; what is kept has been verified, an interrupted download goes on."""
    from training.download import MIRRORS
    from training.download import download as fetch

    fetch(names, data or DEFAULT_FOLDER, MIRRORS if mirror is None else {name: [mirror] for name in names})


def _table(rows: list[tuple[Path, str, Metrics]]) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("model")
    for name in ("variant", "data set", "images", "errors", "error %", "margin", "MSE", "accepted %"):
        table.add_column(name, justify="left" if name in ("variant", "data set") else "right", no_wrap=True)
    for path, variant, m in rows:
        accepted = "" if m.accepted is None else f"{100 * m.accepted:.2f}"
        table.add_row(
            path.resolve().name,
            variant,
            m.dataset,
            f"{m.images:,}",
            str(m.errors),
            f"{100 * m.error:.2f}",
            f"{m.margin_loss:.5f}",
            f"{m.reconstruction_mse:.5f}",
            accepted,
        )
    return table


def _folder_input(
    dataset: str, size: int | None, channels: int | None, preprocess: Preprocess | None
) -> InputSpec | None:
    if size is None and channels is None and preprocess is None:
        return None
    side = 28 if size is None else size
    mode: Preprocess = preprocess or "resize"
    return InputSpec(channels=channels or 1, height=side, width=side, preprocess=mode)


def _fast_precision() -> Precision:
    """bfloat16 where the chip computes in it; elsewhere it is emulated and slower than float32."""
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def provenance(recipe: Recipe) -> dict[str, object]:
    """What is kept in the checkpoints about how they were made."""
    return {"command": command(recipe), "torch": torch.__version__}


def portable(dataset: str) -> str:
    """A data set's name without the folders above it, which mean nothing on another machine."""
    if not dataset.startswith(FOLDER_PREFIX):
        return dataset
    return FOLDER_PREFIX + Path(dataset.removeprefix(FOLDER_PREFIX)).resolve().name


def command(recipe: Recipe) -> str:
    """The `fit` command that runs this recipe again, without the paths of the machine it ran on."""
    config = recipe.config
    words = [
        "python -m training fit",
        f"--dataset {portable(recipe.dataset)}",
        f"--architecture {config.architecture}",
    ]
    defaults = {
        f.name: f.default for f in Recipe.__dataclass_fields__.values() if f.name not in ("config", "input")
    }
    for name, default in defaults.items():
        value = getattr(recipe, name)
        if name != "dataset" and (
            value != default or name in ("epochs", "seed", "augmentation", "precision")
        ):
            words.append(f"--{name.replace('_', '-')} {value}")
    for name in ("routing_iterations", "pose_dim", "class_bias", "detach_routing"):
        value, default = getattr(config, name), ModelConfig.__dataclass_fields__[name].default
        if value != default:
            words.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    return " ".join(words)
