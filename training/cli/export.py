"""Export checkpoints."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer

from capsnet import appearance
from capsnet.card import NAME
from capsnet.guard import ACCEPTED, DOUBT_WEIGHT, DOUBT_WEIGHT_OF_FOLDERS, OWN_SHARE
from training.cli.app import DataFolder, app, console
from training.cli.folder_run import verdict
from training.data.datasets import portable
from training.evaluation.honesty import refused_share
from training.reporting.tables import describe_validation
from training.trainer.device_data import DeviceData, train_val_split
from training.trainer.run_state import TrainingError

if TYPE_CHECKING:
    from model.export.exporter import Thumbnails
    from training.trainer.sources import Source

# Fewer validation images than this make uncertain thresholds.
FEW_IMAGES = 200
# Training images from which int8 takes its ranges.
CALIBRATION_IMAGES = 512
# Most training images from which the guard takes their common appearance.
APPEARANCE_IMAGES = 4000
# Validation images beside the card, for the playground.
THUMBNAILS, MOST_THUMBNAILS = 12, 30


@app.command()
def export(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="Usually RUN/best.safetensors. Of several: mean lengths, poses of the first."),
    ],
    output: Annotated[Path, typer.Option(help="Folder of the model; its name is the model's name.")],
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="Take the mean over each image and its mirror image.")
    ] = False,
    model_version: Annotated[str, typer.Option("--version", help="Version to write into the card.")] = "1",
    variants: Annotated[str, typer.Option(help="More encoders, of int8,fp16; for example int8,fp16.")] = "",
    accept: Annotated[
        float, typer.Option(min=0.5, max=0.99, help="Share of good images that the guard should accept.")
    ] = ACCEPTED,
    force: Annotated[
        bool, typer.Option("--force", help="Export a model of a folder that is hardly better than chance.")
    ] = False,
    data: DataFolder = None,
) -> None:
    """Export checkpoints as two ONNX graphs and a card, compared with PyTorch before anything is kept.

    The training set is read for its validation images, and for those that int8 takes its ranges from; the test set is
    not. A variant that loses accuracy is refused with its figures, and the model stays without variants.
    """
    from model.export.exporter import MODEL_CARD_FILE, ExportMetadata
    from model.export.exporter import export as export_network
    from model.export.variants import add_variants, read_precisions
    from training.reporting.model_cards import write_model_card
    from training.trainer.sources import read_source

    precisions = read_precisions(variants)
    check_name(output)
    source = read_source(checkpoints, data, mirrored=mirrored)
    header, training = source.header, source.images
    fitted, held_out = train_val_split(training, source.config, torch.device("cpu"))
    refused = refused_share(len(held_out), accept, own=training.by_class)
    if len(held_out) < FEW_IMAGES:
        warn_of_few_images(len(held_out), refused)
    if training.by_class:
        if accept != ACCEPTED:
            raise TrainingError(
                f"--accept is for data sets; the guard of own images accepts {100 * OWN_SHARE:.0f} %"
            )
        check_chance(checkpoints[0], source, fitted, held_out, force=force)
    description = ExportMetadata(
        name=output.resolve().name,
        version=model_version,
        classes=tuple(header["classes"]),
        input=source.config.input,
        objects=header["objects"],
        training=describe_training(source, fitted, held_out, refused),
    )
    validation = held_out.floats(slice(None)).numpy()
    samples = np.concatenate([validation[:7], fitted.first(7).numpy()])
    thumbnails = pick_thumbnails(held_out, description.classes) if training.by_class else None
    weight = DOUBT_WEIGHT_OF_FOLDERS if training.by_class else DOUBT_WEIGHT
    looks = appearance.fit(pick_appearance_images(fitted)) if training.by_class else None
    has_model_card = (output / MODEL_CARD_FILE).is_file()
    card = export_network(
        source.network, description, output, samples, validation, thumbnails, weight, looks, accept
    )
    console.print(f"{output}: {card.name} version {card.version}, export {card.export_id}", highlight=False)
    if precisions:
        calibration = fitted.first(CALIBRATION_IMAGES).numpy()
        card = add_variants(output, precisions, calibration, validation, held_out.labels.numpy())
        for precision, variant in card.variants.items():
            console.print(
                f"  {precision}: {describe_validation(variant.validation, card.objects)}",
                highlight=False,
                soft_wrap=True,
            )
    if has_model_card:
        write_model_card(output)


def check_name(output: Path) -> None:
    """Raise TrainingError where a folder has a name that no model may have."""
    if not NAME.fullmatch(name := output.resolve().name):
        raise TrainingError(
            f"--output: {name!r} is the model's name too, which begins with a letter or digit of ASCII and has these, "
            "'.', '_' and '-' alone, at most 100; name another folder"
        )


def warn_of_few_images(count: int, refused: tuple[float, float]) -> None:
    """Print which share of good images the guard may refuse when `count` images made its thresholds."""
    low, high = refused
    console.print(
        f"the guard's thresholds come from {count} validation images only: it will refuse between "
        f"{100 * low:.1f} and {100 * high:.1f} % of good images (95 % interval)",
        highlight=False,
        soft_wrap=True,
    )


def check_chance(
    checkpoint: Path, source: "Source", fitted: DeviceData, held_out: DeviceData, *, force: bool
) -> None:
    """Print how good the model of a folder is; raises TrainingError if that may be chance, unless `force`."""
    judged = verdict(source.network.eval(), fitted, held_out)
    console.print(judged.sentences(), highlight=False, soft_wrap=True)
    if judged.near_chance and not force:
        raise TrainingError(
            f"{checkpoint}: is not better than chance, as far as {judged.images} images show; "
            "give more images or epochs, or --force to export it all the same"
        )


def describe_training(
    source: "Source", fitted: DeviceData, held_out: DeviceData, refused: tuple[float, float]
) -> dict[str, Any]:
    """Return what the card says of the training, as JSON values."""
    header = source.header
    return {
        "dataset": portable(source.config.dataset),
        "data": source.images.fingerprint(),
        **{key: value for key, value in header["provenance"].items() if key != "chosen"},
        **source.made.fields(),
        "training_images": len(fitted),
        "validation_images": len(held_out),
        "best_epoch": header["result"]["epoch"],
        "guard_refuses": [round(share, 4) for share in refused],
        "validation_error": source.validation_error(held_out),
    }


def pick_appearance_images(fitted: DeviceData) -> np.ndarray:
    """Return training images (N,C,H,W) in [0,1], evenly chosen where there are more than `APPEARANCE_IMAGES`."""
    images = fitted.images.cpu()
    rows = torch.linspace(0, len(images) - 1, min(len(images), APPEARANCE_IMAGES)).long()
    return images[rows].numpy().astype(np.float32) / 255


def pick_thumbnails(held_out: DeviceData, classes: Sequence[str]) -> "Thumbnails":
    """Return an even share of validation images of each class: a dozen in all, or one a class where there are more."""
    from model.export.exporter import Thumbnails

    labels = held_out.labels.numpy()
    share = max(1, THUMBNAILS // len(classes))
    rows = np.concatenate([np.flatnonzero(labels == label)[:share] for label in range(len(classes))])[
        :MOST_THUMBNAILS
    ]
    images = held_out.images[torch.from_numpy(rows)].numpy().astype(np.float32) / 255
    return Thumbnails(images, tuple(classes[label] for label in labels[rows]))
