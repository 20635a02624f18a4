"""The command line of training. Each command only reads its options; the work is done in the module it names."""

import logging
from pathlib import Path
from typing import Annotated, Literal, get_args

import torch
import typer

from capsnet.config import ModelConfig, Preprocess
from model.architectures.registry import ARCHITECTURES, refuse_unused
from training.cli.app import DataFolder, app, auto_option, console, one_of
from training.cli.folder_run import folder_settings, published_settings, report_run, warn_of_duplicates
from training.data.augmentation import AUGMENTATIONS
from training.data.datasets import NAMES, describe, load
from training.trainer.auto_config import MINUTES, stop_of_folder
from training.trainer.config import TEACHER_WEIGHT, Precision, Recipe, Schedule, default_augmentation
from training.trainer.pretrained import Start, fingerprint
from training.trainer.provenance import provenance
from training.trainer.run_state import STATE, Stop, TrainingError

WAYS = get_args(Preprocess)
Accelerator = Literal["auto", "cpu", "cuda"]


@app.command()
def fit(
    dataset: Annotated[
        str,
        typer.Option(help=f"{one_of(NAMES)[:-1]}, or folder:PATH (one sub-folder a class)."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the run: checkpoints and logs.")],
    architecture: Annotated[str | None, auto_option(str, one_of(ARCHITECTURES))] = None,
    epochs: Annotated[int | None, auto_option(int, "Passes over the training images, at most.")] = None,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop after this epoch; the rates stay those of --epochs.")
    ] = None,
    until_error: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Stop after the first epoch with no larger a share of validation images wrong."
        ),
    ] = None,
    plateau: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after so many epochs without a better one.",
            show_default="folders: a third of the epochs; else none",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Stop after the epoch in which so much time has passed.",
            show_default=f"folders: {MINUTES:g}; else none",
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
            help="The teacher's share in the target; the rest is the label's.",
            show_default=str(TEACHER_WEIGHT),
        ),
    ] = None,
    data: DataFolder = None,
    seed: Annotated[int, typer.Option(help="Of weights, split, order and augmentation.")] = 0,
    split_seed: Annotated[
        int | None, typer.Option(help="Of the validation images alone.", show_default="that of --seed")
    ] = None,
    batch_size: Annotated[int | None, auto_option(int, "Images a step, over all devices together.")] = None,
    learning_rate: Annotated[float | None, auto_option(float, "Adam's peak rate.")] = None,
    schedule: Annotated[Schedule, typer.Option()] = "cosine",
    decay: Annotated[float, typer.Option(help="Factor an epoch of the exponential schedule.")] = 0.97,
    floor: Annotated[float, typer.Option(help="Smallest learning rate.")] = 1e-6,
    warmup: Annotated[int | None, auto_option(int, "Steps of linear rise at the start.")] = None,
    ema: Annotated[
        float | None, auto_option(float, "Decay of the moving average of the weights; 0 for none.")
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Decoupled, of weights but not of biases.")] = 0.0,
    augmentation: Annotated[str | None, auto_option(str, one_of(AUGMENTATIONS))] = None,
    reconstruction_weight: Annotated[float, typer.Option(help="Of the summed squared error.")] = 0.0005,
    validation: Annotated[int, typer.Option(help="Images cut off to validate; at most a tenth.")] = 5000,
    primary_capsules: Annotated[int, typer.Option(help="Of efficient, residual and cnn-small.")] = 16,
    routing_iterations: Annotated[int, typer.Option(help="Of capsnet and shared.")] = 3,
    pose_dim: Annotated[int, typer.Option(help="Dimensions of a class capsule.")] = 16,
    class_bias: Annotated[bool, typer.Option("--class-bias", help="Learned bias a class capsule.")] = False,
    detach_routing: Annotated[
        bool, typer.Option("--detach-routing", help="Gradient of the last only.")
    ] = False,
    image_size: Annotated[int | None, auto_option(int, "Folders: side of the square input, pixels.")] = None,
    channels: Annotated[int | None, auto_option(int, "Folders: 1 (grey) or 3 (colour).")] = None,
    preprocess: Annotated[
        str | None, auto_option(str, f"Folders: how pictures are read. {one_of(WAYS)}", WAYS)
    ] = None,
    accelerator: Annotated[
        Accelerator, typer.Option(help="auto takes a CUDA device if there is one.")
    ] = "auto",
    devices: Annotated[int, typer.Option(help="Devices or processes.", min=1)] = 1,
    precision: Annotated[Precision | None, typer.Option(help="Default: bfloat16 where it is fast.")] = None,
    keep_epochs: Annotated[
        bool,
        typer.Option("--keep-epochs", help="Keep the weights of every epoch, for evaluate --every-epoch."),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="With torch.compile, which needs a C++ compiler; for GPUs.")
    ] = False,
) -> None:
    """Train a network; safe to kill at any moment and to go on with --resume."""
    from lightning_fabric import Fabric  # slow to import, and only this command needs it

    from training.cli.progress import ProgressDisplay
    from training.trainer.distillation import Teacher
    from training.trainer.trainer import Trainer

    if teacher is None and teacher_weight is not None:
        raise TrainingError("--teacher-weight: says how much to learn from a --teacher, and there is none")
    _accelerator(accelerator)
    by_hand = {
        "architecture": architecture,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "ema": ema,
        "augmentation": augmentation,
        "image_size": image_size,
        "channels": channels,
        "preprocess": preprocess,
    }
    settings = folder_settings(dataset, output, by_hand, resume=resume) or published_settings(
        dataset, by_hand
    )
    value = settings.values
    info = describe(dataset, spec=value["input"])
    config = ModelConfig(
        architecture=value["architecture"],
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
        epochs=value["epochs"],
        batch_size=value["batch_size"],
        learning_rate=value["learning_rate"],
        schedule=schedule,
        decay=decay,
        floor=floor,
        warmup=value["warmup"],
        ema=value["ema"],
        weight_decay=weight_decay,
        augmentation=value["augmentation"] or default_augmentation(info),
        reconstruction_weight=reconstruction_weight,
        validation=validation,
        seed=seed,
        split_seed=split_seed,
        precision=precision or fast_precision(accelerator),
        start="" if start_from is None else fingerprint(start_from),
        teacher="" if teacher is None else fingerprint(teacher),
        teacher_weight=TEACHER_WEIGHT if teacher_weight is None else teacher_weight,
    )
    refuse_unused(config)
    if not resume and (output / STATE).exists():
        raise TrainingError(
            f"{output}: holds a run already; give --resume to go on with it, or another --output"
        )
    logging.getLogger("lightning_fabric").setLevel(
        logging.WARNING
    )  # `ProgressDisplay` names the device in use
    fabric = Fabric(accelerator=_accelerator(accelerator), devices=devices, precision=recipe.precision)
    fabric.launch()
    training = load(dataset, "train", data, spec=info.input)
    start = None if start_from is None else Start.read(start_from, recipe, training)
    taught_by = None if teacher is None else Teacher.read(teacher, recipe, training, info.classes)
    by_hand_stop = Stop(until=until, until_error=until_error, plateau=plateau, minutes=minutes)
    stop = stop_of_folder(recipe, by_hand_stop) if settings.reasons else by_hand_stop
    if settings.reasons:
        settings.add_stop(stop, by_hand_stop)
        settings.print(console, quiet=not fabric.is_global_zero)
        warn_of_duplicates(training, recipe, info.classes, console)
    made_by = provenance(recipe, start, by_hand_stop, taught_by)
    if settings.reasons:
        made_by["chosen"] = settings.reasons
    trainer = Trainer(
        fabric,
        recipe,
        info,
        training,
        output,
        made_by,
        start,
        taught_by,
        compiled=compiled,
        keep_epochs=keep_epochs,
    )
    if resume:
        trainer.resume()
    quiet = not fabric.is_global_zero
    where = f"{devices} × {fabric.device.type}, {recipe.precision}"
    if trainer.fresh and not quiet:
        console.print(
            f"other classes than {start_from} has: {', '.join(trainer.fresh)} begin fresh", highlight=False
        )
    with ProgressDisplay(
        console, recipe.epochs, recipe.batch_size, output, where=where, quiet=quiet
    ) as display:
        best = trainer.run(display, stop)
    if not quiet:
        console.print(f"best epoch {best.epoch}: validation error {100 * best.validation_error:.2f} %")
        last = trainer.position.history[-1]
        if settings.reasons:
            report_run(output, trainer.training, trainer.validation, info.classes, console)
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
    from training.trainer.weight_interpolation import blend as between

    result = between(earlier, later, output, share, data)
    console.print(
        f"{output}: validation error {100 * result.validation_error:.2f} %  "
        f"margin {result.validation_margin_loss:.5f}",
        highlight=False,
    )


def _accelerator(wanted: Accelerator) -> str:
    """What to ask Fabric for. Apple's GPUs have no float64, which the keyed random numbers need."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "--accelerator cuda: PyTorch finds no CUDA device; --accelerator cpu trains without"
        )
    return wanted


def fast_precision(wanted: Accelerator) -> Precision:
    """bfloat16 where the chip computes in it; elsewhere it is emulated and slower than float32."""
    if _accelerator(wanted) == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
