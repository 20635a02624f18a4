"""Choose the settings of a run on a folder of images from the facts about the images."""

import math
from dataclasses import dataclass, replace

from training.data.folder_survey import FolderFacts
from training.trainer.config import FOLDER_MINUTES
from training.trainer.device_data import held_out_of_classes, steps_per_epoch
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EarlyStop

# Least shares of the images for a folder to count as drawn, as coloured, or as shapes on an even ground.
MOSTLY_DRAWN, SOME_COLOURED, MOSTLY_EVEN = 0.9, 0.05, 0.9
# Sides of the input for drawings, icons and photographs, and the largest edge of an icon.
DRAWN_SIDE, ICON_SIDE, PHOTO_SIDE, LARGEST_ICON = 28, 32, 40, 40
# Steps of a run on drawings and on photographs, most steps an image, and fewest epochs.
DRAWN_STEPS, PHOTO_STEPS, STEPS_AN_IMAGE, FEWEST_EPOCHS = 800, 1400, 16, 12
FEWEST_WARMUP, MOST_WARMUP = 10, 200


@dataclass(frozen=True)
class Choice:
    """The value of one option of `fit`, and the reason."""

    option: str
    value: str | int | float
    reason: str


def choose(
    facts: FolderFacts,
    *,
    validation: int = RunConfig.validation,
    preprocess: str | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
) -> tuple[Choice, ...]:
    """Return a value and its reason for every option that is chosen from the images.

    Parameters
    ----------
    facts
        Number, sizes and colours of the images.
    validation
        The images to hold out at most, unless the folder has a validation part; the steps follow from the others.
    preprocess
        How images are read, if it is set by hand; size, channels and augmentation follow from it.
    batch_size
        The batch size if it is set by hand; the number of epochs follows from it.
    epochs
        The number of epochs if it is set by hand; warm-up and average follow from it.
    """
    count, median = facts.images, facts.edges[1]
    mode = preprocess or ("mnist" if facts.drawn >= MOSTLY_DRAWN else "resize")
    drawn = mode != "resize"
    colour = facts.coloured >= SOME_COLOURED
    shown = f"{100 * facts.drawn:.0f} % of the images are thin strokes on an even ground"
    if drawn:
        side, why_side = DRAWN_SIDE, "what stands out is cropped and scaled"
    elif median <= LARGEST_ICON:
        side, why_side = ICON_SIDE, f"the median shorter edge is {median} pixels"
    else:
        side, why_side = PHOTO_SIDE, f"the median shorter edge is {median} pixels; more costs time"
    batch, why_batch = auto_batch_size(count)
    batch = batch_size or batch
    held_out = facts.held_out or held_out_of_classes(facts.counts, validation)
    steps_in_epoch = steps_per_epoch(count - held_out, batch)
    wanted = min(DRAWN_STEPS if drawn else PHOTO_STEPS, STEPS_AN_IMAGE * count)
    epochs = epochs or max(FEWEST_EPOCHS, math.ceil(wanted / steps_in_epoch))
    steps = epochs * steps_in_epoch
    return (
        Choice("preprocess", mode, shown),
        Choice("image_size", side, why_side),
        Choice(
            "channels",
            3 if colour and not drawn else 1,
            f"{100 * facts.coloured:.0f} % of the images have colours",
        ),
        Choice(
            "architecture",
            "efficient" if drawn else "residual",
            "enough for strokes, and quick" if drawn else "learns objects on other backgrounds",
        ),
        auto_augmentation(facts, mode),
        Choice("batch_size", batch, why_batch if batch_size is None else "set by hand"),
        Choice("epochs", epochs, f"{steps_in_epoch} steps an epoch, {steps:,} in all"),
        Choice("learning_rate", 0.002, "suits batches of this size"),
        Choice("warmup", min(MOST_WARMUP, max(FEWEST_WARMUP, steps // 20)), "a twentieth of the steps"),
        Choice("ema", auto_average(steps), "averages over a fiftieth of the steps"),
    )


def stop_of_folder(config: RunConfig, stop: EarlyStop) -> EarlyStop:
    """Return when a run on a folder ends: as set by hand, else at a plateau or after some minutes."""
    every = config.validate_every
    return replace(
        stop,
        plateau=stop.plateau or max(8, config.epochs // 3),
        minutes=FOLDER_MINUTES if stop.minutes is None else stop.minutes,
        cooldown=every * math.ceil(max(2, config.epochs // 8) / every),
    )


def auto_augmentation(facts: FolderFacts, mode: str) -> Choice:
    """Return how training images are varied: in any colours where those tell nothing, and the ground is even."""
    if mode == "mnist":
        return Choice("augmentation", "own-drawings", "moves and bends strokes")
    if mode == "fashion":
        return Choice("augmentation", "clothes", f"suits {mode}")
    if facts.told_by_colours is None:
        return Choice("augmentation", "own-photos", "too few images to say whether colours tell the class")
    told, chance = 100 * facts.told_by_colours, 100 * max(facts.counts) / facts.images
    shown = f"colours alone tell the class of {told:.0f} % of the images, chance of {chance:.0f} %"
    # On a busy ground the brighter or more coloured part is the figure; a negative would hide it.
    if facts.colours_say_nothing and facts.even >= MOSTLY_EVEN:
        return Choice("augmentation", "own-shapes", f"{shown}; {100 * facts.even:.0f} % have an even ground")
    return Choice("augmentation", "own-photos", f"{shown}; {100 * facts.even:.0f} % have an even ground")


def auto_batch_size(images: int) -> tuple[int, str]:
    """Return a batch size and the reason: few images make few steps, so their batches are small."""
    for limit, size in ((80, 8), (3000, 16), (10_000, 32), (30_000, 64)):
        if images < limit:
            return size, f"{images:,} images, fewer than {limit:,}"
    return RunConfig.batch_size, f"{images:,} images"


def auto_average(steps: int) -> float:
    """Return the decay of the moving average of the weights, at most the default."""
    return min(RunConfig.ema, round(1 - min(0.5, 50 / steps), 4))
