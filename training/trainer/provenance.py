"""Record how a model was made: the commands and stages, without the paths of this machine."""

from dataclasses import asdict

import torch

from capsnet.config import ModelConfig
from training.data.datasets import FOLDER_PREFIX, portable
from training.trainer.config import NETWORK_OPTIONS
from training.trainer.distillation import Teacher
from training.trainer.pretrained import InitialWeights
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EarlyStop
from training.trainer.stages import Provenance, Stage

# Options whose default may change or depends on the machine are always written out.
ALWAYS = ("epochs", "augmentation", "seed", "precision")
# For a folder, also the options that `fit` chooses.
ALWAYS_OF_FOLDERS = ("batch_size", "learning_rate", "warmup", "ema")
# Written in another form than by their values.
OTHERWISE = ("dataset", "network", "input", "start", "teacher")


def provenance(
    config: RunConfig,
    start: InitialWeights | None = None,
    stop: EarlyStop | None = None,
    teacher: Teacher | None = None,
) -> dict[str, object]:
    """Return the provenance for the checkpoints: commands and stages, the teacher's first."""
    words = [command(config)]
    words += [option(name, value) for name, value in asdict(stop or EarlyStop()).items() if value is not None]
    words += [] if start is None else [option("start_from", start.file)]
    words += [] if teacher is None else [option("teacher", teacher.file)]
    stage = Stage.of_run(
        config,
        until=None if stop is None else stop.until,
        start_from=None if start is None else start.file,
        teacher=None if teacher is None else teacher.file,
    )
    nothing = Provenance((), ())
    before = nothing if start is None else start.made
    taught = nothing if teacher is None else teacher.made.without(before)
    made = taught + before + Provenance((" ".join(words),), (stage,))
    return {**made.fields(), "torch": torch.__version__}


def command(config: RunConfig) -> str:
    """Return the `fit` command that repeats this run."""
    options: dict[str, object] = {
        "dataset": portable(config.dataset),
        "architecture": config.network.architecture,
    }
    if config.dataset.startswith(FOLDER_PREFIX):
        options |= {
            "image_size": config.input.height,
            "channels": config.input.channels,
            "preprocess": config.input.preprocess,
        }
    options |= _differing(config, [name for name in _names(RunConfig) if name not in OTHERWISE])
    if config.dataset.startswith(FOLDER_PREFIX):
        options |= {name: getattr(config, name) for name in ALWAYS_OF_FOLDERS}
    options |= _differing(config.network, NETWORK_OPTIONS)
    if config.teacher:
        options["teacher_weight"] = config.teacher_weight
    return " ".join(["python -m training fit", *(option(name, value) for name, value in options.items())])


def _names(kind: type) -> list[str]:
    return list(kind.__dataclass_fields__)  # type: ignore[attr-defined]


def _differing(values: RunConfig | ModelConfig, names: list[str] | tuple[str, ...]) -> dict[str, object]:
    """Return the values that differ from the defaults, or must always be written."""
    fields = type(values).__dataclass_fields__
    return {
        name: getattr(values, name)
        for name in names
        if name in ALWAYS or getattr(values, name) != fields[name].default
    }


def option(name: str, value: object) -> str:
    """Return an option of a command as it is typed."""
    flag = f"--{name.replace('_', '-')}"
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return flag if value is True else f"{flag} {shown}"
