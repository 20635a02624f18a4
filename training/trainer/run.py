"""Train from settings: `train` for Python, and `TrainingRun`, whose parts the command `fit` shows."""

import ctypes
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from capsnet.config import ConfigError, InputSpec, ModelConfig
from model.architectures.registry import refuse_unused
from model.checkpoint import read_tensors
from training.data import folder_survey, image_folder
from training.data.datasets import (
    DEFAULT_INPUT,
    FOLDER_PREFIX,
    DatasetInfo,
    DatasetPart,
    describe,
    folder_of,
    load,
    normalized_name,
)
from training.trainer.auto_config import choose, stop_of_folder
from training.trainer.config import AUTO, NETWORK_OPTIONS, Accelerator, Precision, TrainConfig, default
from training.trainer.device_data import train_val_split
from training.trainer.distillation import Teacher
from training.trainer.pretrained import InitialWeights, fingerprint
from training.trainer.provenance import provenance
from training.trainer.run_config import RunConfig, default_augmentation
from training.trainer.run_state import (
    BEST,
    STATE,
    EarlyStop,
    EpochResult,
    RunIdentity,
    TrainingError,
    TrainingProgress,
)
from training.trainer.trainer import Trainer, TrainingCallback

logger = logging.getLogger(__name__)

# Parameters of mallopt(3), and glibc's initial values.
TRIM_THRESHOLD = -1
MMAP_MAX = -4
INITIAL_TRIM_THRESHOLD = 128 * 1024
INITIAL_MMAP_MAX = 65536
NEVER = -1


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes
    ----------
    folder
        The folder of the run.
    best, last
        The epoch with the smallest margin loss on the validation images, and the last one.
    """

    folder: Path
    best: EpochResult
    last: EpochResult

    @property
    def checkpoint(self) -> Path:
        """Return the checkpoint of the best epoch, as `python -m training export` takes it."""
        return self.folder / BEST


def train(config: TrainConfig, callback: TrainingCallback | None = None) -> TrainResult:
    """Train a network as `python -m training fit` does with the same settings, and return how good it is.

    Parameters
    ----------
    config
        The settings.
    callback
        Called at every step and epoch. Without one, each epoch is logged at the level INFO.

    Raises
    ------
    UserError
        If the settings, the images or the files that they name cannot be used; the message says why.
    """
    return TrainingRun(config).train(callback)


class TrainingRun:
    """A run that is ready to train: settings chosen, images read, weights in place.

    Parameters
    ----------
    config
        The settings.

    Raises
    ------
    UserError
        As `train` does.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.settings = config
        accelerator = find_accelerator(config.accelerator)
        values, reasons = choose_settings(config)
        self.info = describe(config.dataset, spec=values.pop("input"))
        self.config = _run_config(config, values, self.info)
        refuse_unused(self.config.network)
        if not config.resume and (config.output / STATE).exists():
            raise TrainingError(
                f"{config.output}: holds a run already; give --resume to go on with it, or another --output"
            )
        self.fabric = _launch(accelerator, config.devices, self.config.precision)
        data = load(config.dataset, "train", config.data, spec=self.info.input)
        by_hand = EarlyStop(
            until=config.until,
            until_error=config.until_error,
            plateau=config.plateau,
            minutes=config.minutes,
        )
        self.stop = stop_of_folder(self.config, by_hand) if reasons else by_hand
        # Rows (option, value, reason) of what was chosen for a folder; empty for a published data set.
        self.reasons = [*reasons, *_stop_reasons(self.stop, by_hand)] if reasons else []
        if reasons and self.fabric.is_global_zero:
            warn_of_duplicates(data, self.config, self.info.classes)
        self.trainer = self._trainer(data, by_hand)
        if config.resume:
            self.trainer.resume()

    def _trainer(self, data: DatasetPart, by_hand: EarlyStop) -> Trainer:
        """Return the loop for these images, with the networks that the run begins with and learns from."""
        config = self.settings
        start = (
            None if config.start_from is None else InitialWeights.read(config.start_from, self.config, data)
        )
        classes = self.info.classes
        teacher = None if config.teacher is None else Teacher.read(config.teacher, self.config, data, classes)
        made_by = provenance(self.config, start, by_hand, teacher)
        return Trainer(
            self.fabric,
            self.config,
            self.info,
            data,
            config.output,
            made_by | ({"chosen": self.reasons} if self.reasons else {}),
            start,
            teacher,
            compiled=config.compile,
            keep_epochs=config.keep_epochs,
        )

    def train(self, callback: TrainingCallback | None = None) -> TrainResult:
        """Train to the end, and return how good the network is."""
        best = self.trainer.run(callback or EpochLog(self.config.epochs), self.stop)
        return TrainResult(self.settings.output, best, self.trainer.position.history[-1])


def _launch(accelerator: str, devices: int, precision: Precision) -> Fabric:
    """Return the devices of the run, ready for use."""
    # The callback names the device in use.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)
    fabric.launch()
    return fabric


class EpochLog:
    """Log each epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def start(self, position: TrainingProgress, steps: int) -> None:
        """Log where the run stands."""
        logger.info("training from epoch %d of %d, %d steps each", position.epoch + 1, self.epochs, steps)

    def step(self, position: TrainingProgress, loss: float) -> None:
        """Log nothing: there are too many steps."""

    def epoch(self, result: EpochResult, *, best: bool) -> None:
        """Log the epoch's losses and error."""
        logger.info(
            "epoch %d of %d: loss %.5f, validation error %.2f %%%s",
            result.epoch,
            self.epochs,
            result.loss,
            100 * result.validation_error,
            ", the best so far" if best else "",
        )


def choose_settings(config: TrainConfig) -> tuple[dict[str, Any], list[list[str]]]:
    """Return the values of all options that may be `auto`, and the reasons of those chosen for a folder."""
    given = {name: value for name in AUTO if (value := getattr(config, name)) is not None}
    if not config.dataset.startswith(FOLDER_PREFIX):
        own = {"image_size", "channels", "preprocess"} & given.keys()
        values = {name: default(name) for name in AUTO} | given
        return values | {"input": _input(given) if own else None}, []
    state = config.output / STATE
    if config.resume and state.is_file():  # a run that goes on keeps what was chosen when it began
        chosen = _stored_choices(state)
        why = dict.fromkeys(chosen, "as the run began")
    else:
        choices = choose(
            _survey(folder_of(config.dataset)),
            validation=config.validation,
            preprocess=config.preprocess,
            batch_size=config.batch_size,
            epochs=config.epochs,
        )
        chosen = {each.option: each.value for each in choices}
        why = {each.option: each.reason for each in choices}
    values = {**chosen, **given}
    reasons = [[name, str(values[name]), "set by hand" if name in given else why[name]] for name in chosen]
    return values | {"input": _input(values)}, reasons


def _survey(folder: Path) -> folder_survey.FolderFacts:
    """Survey a folder, and log its content and possible problems."""
    listing = image_folder.list_images(folder)
    facts = folder_survey.survey(listing)
    logger.info("%s", folder_survey.summary(listing.classes, facts.counts))
    for sentence in folder_survey.warnings(listing.classes, facts.counts):
        logger.warning("%s", sentence)
    return facts


def _stored_choices(state: Path) -> dict[str, Any]:
    """Return the options of a run that has begun."""
    config = RunIdentity.read(state, read_tensors(state)[1]).config
    own = {
        "preprocess": config.input.preprocess,
        "image_size": config.input.height,
        "channels": config.input.channels,
        "architecture": config.network.architecture,
    }
    return own | {name: getattr(config, name) for name in AUTO if name not in own}


def _input(values: dict[str, Any]) -> InputSpec:
    side = values.get("image_size", DEFAULT_INPUT.height)
    return InputSpec(
        channels=values.get("channels", DEFAULT_INPUT.channels),
        height=side,
        width=side,
        preprocess=values.get("preprocess", DEFAULT_INPUT.preprocess),
    )


def _run_config(config: TrainConfig, values: dict[str, Any], info: DatasetInfo) -> RunConfig:
    """Return the settings with the values of all `auto` options put in."""
    common = RunConfig.__dataclass_fields__.keys() & TrainConfig.__dataclass_fields__.keys()
    own = {name: value for name in common if (value := getattr(config, name)) is not None}
    network = ModelConfig(
        architecture=values["architecture"],
        num_classes=len(info.classes),
        channels=info.input.channels,
        height=info.input.height,
        width=info.input.width,
        **{name: getattr(config, name) for name in NETWORK_OPTIONS}
        | {"decoder_hidden": _widths(config.decoder_hidden)},
    )
    chosen = {name: values[name] for name in common & values.keys()}
    chosen["augmentation"] = values["augmentation"] or default_augmentation(info)
    named = {
        "dataset": normalized_name(config.dataset),
        "start": "" if config.start_from is None else fingerprint(config.start_from),
        "teacher": "" if config.teacher is None else fingerprint(config.teacher),
        "precision": config.precision or fast_precision(config.accelerator),
    }
    return RunConfig(**own | chosen | named | {"network": network, "input": info.input})


def _widths(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as `512,1024`; raises ConfigError."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ConfigError(f"decoder_hidden is {text!r}; it must be a list such as 512,1024") from None


def _stop_reasons(stop: EarlyStop, by_hand: EarlyStop) -> list[list[str]]:
    """Return the rows that say when the run ends before its last epoch."""
    rows = []
    for name, reason in (
        ("plateau", "epochs without a better one; the rate then falls to its end first"),
        ("minutes", "bound on the time of training"),
    ):
        why = reason if getattr(by_hand, name) is None else "set by hand"
        rows.append([name, f"{getattr(stop, name):g}", why])
    return rows


def warn_of_duplicates(data: DatasetPart, config: RunConfig, classes: Sequence[str]) -> None:
    """Warn where validation images are almost equal to training images."""
    _, validation = train_val_split(data, config, torch.device("cpu"))
    held_out = np.zeros(len(data.labels), bool)
    held_out[validation.samples.numpy()] = True
    if sentence := folder_survey.near_duplicates(data.images, data.labels, held_out, classes):
        logger.warning("%s", sentence)


def find_accelerator(wanted: Accelerator) -> str:
    """Return what to ask Fabric for. Apple's GPUs have no float64, which the keyed random numbers need."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "--accelerator cuda: PyTorch finds no CUDA device; --accelerator cpu trains without"
        )
    return wanted


def fast_precision(wanted: Accelerator) -> Precision:
    """Return bfloat16 where the chip computes in it; elsewhere it is emulated and slower than float32."""
    if find_accelerator(wanted) == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def keep_freed_memory(*, keep: bool = True) -> bool:
    """Have this process keep the memory that it frees, or return it to the system; False where glibc is absent.

    A step frees tensors of several MB, and the next one allocates the same sizes. By default, glibc returns such memory
    to the system, which clears and maps it again page by page. `python -m benchmarks.training --memory` measures what
    this costs.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trim, most = (NEVER, 0) if keep else (INITIAL_TRIM_THRESHOLD, INITIAL_MMAP_MAX)
    return bool(mallopt(TRIM_THRESHOLD, trim) and mallopt(MMAP_MAX, most))
