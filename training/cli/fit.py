"""The command line of training. Each command only reads its options; the work is done in the module it names."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from capsnet.config import InputSpec, ModelConfig, Preprocess
from model.architectures.registry import ARCHITECTURES, refuse_unused
from training.cli.app import DataFolder, app, console, one_of
from training.data.augmentation import AUGMENTATIONS
from training.data.datasets import NAMES, describe, load
from training.trainer.config import TEACHER_WEIGHT, Precision, Recipe, Schedule, default_augmentation
from training.trainer.pretrained import Start, fingerprint
from training.trainer.provenance import provenance
from training.trainer.run_state import STATE, Stop, TrainingError

Accelerator = Literal["auto", "cpu", "cuda"]


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
            help="The teacher's share in the target; the rest is the label's.",
            show_default=str(TEACHER_WEIGHT),
        ),
    ] = None,
    data: DataFolder = None,
    seed: Annotated[int, typer.Option(help="Of weights, split, order and augmentation.")] = 0,
    split_seed: Annotated[
        int | None, typer.Option(help="Of the validation images alone.", show_default="that of --seed")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images a step, over all devices together.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Adam's peak rate.")] = 1e-3,
    schedule: Annotated[Schedule, typer.Option()] = "cosine",
    decay: Annotated[float, typer.Option(help="Factor an epoch of the exponential schedule.")] = 0.97,
    floor: Annotated[float, typer.Option(help="Smallest learning rate.")] = 1e-6,
    warmup: Annotated[int, typer.Option(help="Steps of linear rise at the start.")] = 200,
    ema: Annotated[
        float, typer.Option(help="Decay of the moving average of the weights; 0 for none.")
    ] = 0.999,
    weight_decay: Annotated[float, typer.Option(help="Decoupled, of weights but not of biases.")] = 0.0,
    augmentation: Annotated[str | None, typer.Option(help=one_of(AUGMENTATIONS))] = None,
    reconstruction_weight: Annotated[float, typer.Option(help="Of the summed squared error.")] = 0.0005,
    validation: Annotated[int, typer.Option(help="Images cut off to validate; at most a tenth.")] = 5000,
    primary_capsules: Annotated[int, typer.Option(help="Of efficient, residual and cnn-small.")] = 16,
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
        weight_decay=weight_decay,
        augmentation=augmentation or default_augmentation(info),
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
    stop = Stop(until=until, until_error=until_error)
    made_by = provenance(recipe, start, stop, taught_by)
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
    with ProgressDisplay(console, epochs, batch_size, output, where=where, quiet=quiet) as display:
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
    from training.trainer.weight_interpolation import blend as between

    result = between(earlier, later, output, share, data)
    console.print(
        f"{output}: validation error {100 * result.validation_error:.2f} %  "
        f"margin {result.validation_margin_loss:.5f}",
        highlight=False,
    )


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
        raise TrainingError(
            "--accelerator cuda: PyTorch finds no CUDA device; --accelerator cpu trains without"
        )
    return wanted


def fast_precision(wanted: Accelerator) -> Precision:
    """bfloat16 where the chip computes in it; elsewhere it is emulated and slower than float32."""
    if _accelerator(wanted) == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
