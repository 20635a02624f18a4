"""Define the settings of a run: the fields of `TrainConfig`, from which `python -m training fit` makes its options.

Every default of training is written here and nowhere else.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from capsnet.config import ConfigError, ModelConfig, Preprocess
from model.architectures.registry import ARCHITECTURES
from training.data.augmentation import AUGMENTATIONS
from training.data.datasets import DATA_VARIABLE, DEFAULT_FOLDER, NAMES

Schedule = Literal["cosine", "exponential"]
Precision = Literal["bf16-mixed", "32-true"]
Accelerator = Literal["auto", "cpu", "cuda"]

# The groups of options, in the order of the help text.
DATA, NETWORK, OPTIMISATION = "Data and output", "Network", "Optimisation"
STOPPING, OTHERS, HARDWARE = "When to stop", "Other networks", "Hardware"
# Minutes of training on a folder, so that ten minutes suffice from the command to the exported model.
FOLDER_MINUTES = 8.0


@dataclass(frozen=True, kw_only=True)
class Option:
    """How a field appears on the command line.

    Attributes
    ----------
    help
        What it sets, in one or two sentences.
    group
        The part of the help text in which it stands.
    auto
        The type of its value, where its default is `auto`: folders take what suits their images.
    published
        What `auto` means for a published data set; None where that depends on the data set.
    low, high
        The bounds of a number.
    choices
        All names that it may have.
    shown
        The default in words, where the value does not say it.
    variable
        The environment variable that sets it too.
    """

    help: str
    group: str
    auto: type | None = None
    published: Any = None
    low: float = -math.inf
    high: float = math.inf
    choices: Sequence[str] = ()
    shown: str = ""
    variable: str = ""


def _option(text: str, group: str, default: Any = MISSING, **more: Any) -> Any:
    """Return a field with its help text."""
    return dataclasses.field(default=default, metadata={"option": Option(help=text, group=group, **more)})


def _auto(kind: type, text: str, group: str, published: Any = None, **more: Any) -> Any:
    """Return a field whose default is `auto`, which is None."""
    return _option(text, group, None, auto=kind, published=published, **more)


def one_of(names: Sequence[str]) -> str:
    """Return the sentence of a help text that lists what may be chosen."""
    return f"One of {', '.join(names)}."


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a training run, for `training.train` and for the command `fit`.

    The field of an option has its name, with `_` for `-`. None is `auto`, or that a setting is not used.

    Raises
    ------
    ConfigError
        If a value is outside its bounds; the message names the field and the allowed values.
    """

    dataset: str = _option(f"{one_of(NAMES)[:-1]}, or folder:PATH (one sub-folder a class).", DATA)
    output: Path = _option("Folder of the run: checkpoints and logs.", DATA)
    data: Path | None = _option(
        f"Folder with the data sets; default: ./{DEFAULT_FOLDER}.", DATA, None, variable=DATA_VARIABLE
    )
    resume: bool = _option("Go on where the folder's run stopped.", DATA, False)
    keep_epochs: bool = _option("Keep the weights of every epoch, for evaluate --every-epoch.", DATA, False)
    validation: int = _option(
        "Images held out to choose the best epoch: at most a tenth, of a folder with few images a fifth.",
        DATA,
        5000,
        low=1,
        high=1_000_000,
    )
    seed: int = _option(
        "Of the weights, the order, the augmentation and the split.", DATA, 0, low=0, high=2**32 - 1
    )
    split_seed: int | None = _option(
        "Of the held-out images alone.", DATA, None, low=0, high=2**32 - 1, shown="that of --seed"
    )
    augmentation: str | None = _auto(
        str, f"How training images are varied. {one_of(list(AUGMENTATIONS))}", DATA
    )
    image_size: int | None = _auto(int, "Folders: side of the square input in pixels.", DATA)
    channels: int | None = _auto(int, "Folders: 1 (grey) or 3 (colour).", DATA)
    preprocess: Preprocess | None = _auto(
        str,
        f"Folders: how images are read. {one_of(get_args(Preprocess))}",
        DATA,
        choices=get_args(Preprocess),
    )

    architecture: str | None = _auto(str, one_of(list(ARCHITECTURES)), NETWORK, "efficient")
    pose_dim: int = _option("Dimensions of a class capsule.", NETWORK, ModelConfig.pose_dim)
    primary_capsules: int = _option(
        "Primary capsules of efficient, residual and cnn-small.", NETWORK, ModelConfig.primary_capsules
    )
    routing_iterations: int = _option(
        "Routing iterations of capsnet and shared.", NETWORK, ModelConfig.routing_iterations
    )
    class_bias: bool = _option("Learn a bias for each class capsule.", NETWORK, ModelConfig.class_bias)
    detach_routing: bool = _option(
        "Send the gradient through the last routing iteration only.", NETWORK, ModelConfig.detach_routing
    )

    decoder_hidden: str = _option(
        "Widths of the decoder's hidden layers, with commas between.",
        NETWORK,
        ",".join(map(str, ModelConfig.decoder_hidden)),
    )

    epochs: int | None = _auto(
        int, "Passes over the training images, at most.", OPTIMISATION, 40, low=1, high=10_000
    )
    batch_size: int | None = _auto(
        int, "Images in a step, over all devices together.", OPTIMISATION, 128, low=2, high=65_536
    )
    learning_rate: float | None = _auto(float, "Adam's peak rate.", OPTIMISATION, 1e-3, low=0.0, high=1.0)
    schedule: Schedule = _option(
        "How the rate falls after its peak.", OPTIMISATION, "cosine", choices=get_args(Schedule)
    )
    decay: float = _option(
        "Factor of the rate in each epoch of the exponential schedule.", OPTIMISATION, 0.97, low=0.0, high=1.0
    )
    floor: float = _option("Smallest learning rate.", OPTIMISATION, 1e-6, low=0.0, high=1.0)
    warmup: int | None = _auto(
        int, "Steps in which the rate rises to its peak.", OPTIMISATION, 200, low=0, high=1_000_000
    )
    ema: float | None = _auto(
        float,
        "Decay of the moving average of the weights; 0 for none.",
        OPTIMISATION,
        0.999,
        low=0.0,
        high=0.999_999,
    )
    weight_decay: float = _option(
        "Decoupled decay of weights, but not of biases.", OPTIMISATION, 0.0, low=0.0, high=10.0
    )
    # On the *sum* of squared errors over the pixels: 0.0005 x 784 = 0.392 on their mean. Applied to the mean it would
    # be 784 times too weak, the commonest fault of public implementations.
    reconstruction_weight: float = _option(
        "Of the squared error, summed over the pixels.", OPTIMISATION, 0.0005, low=0.0, high=1000.0
    )

    until: int | None = _option(
        "Stop after this epoch; the rates stay those of --epochs.", STOPPING, None, low=1
    )
    until_error: float | None = _option(
        "Stop after the first epoch with no larger a share of validation images wrong.",
        STOPPING,
        None,
        low=0,
        high=1,
    )
    plateau: int | None = _option(
        "Stop after so many epochs without a better one.",
        STOPPING,
        None,
        low=1,
        shown="folders: a third of the epochs; else none",
    )
    minutes: float | None = _option(
        "Stop after the epoch in which so much time has passed.",
        STOPPING,
        None,
        low=0,
        shown=f"folders: {FOLDER_MINUTES:g}; else none",
    )

    start_from: Path | None = _option(
        "Checkpoint or exported model whose weights to begin with, for a further stage.", OTHERS, None
    )
    teacher: Path | None = _option(
        "Checkpoint or exported model whose answers to learn beside the labels.", OTHERS, None
    )
    teacher_weight: float | None = _option(
        "The teacher's share in the target; the rest is the label's.",
        OTHERS,
        None,
        published=0.7,
        low=0.0,
        high=1.0,
        shown="0.7",
    )

    accelerator: Accelerator = _option(
        "auto takes a CUDA device if there is one.", HARDWARE, "auto", choices=get_args(Accelerator)
    )
    devices: int = _option("Devices, or processes on a CPU.", HARDWARE, 1, low=1)
    precision: Precision | None = _option(
        "Of convolutions and decoder.",
        HARDWARE,
        None,
        choices=get_args(Precision),
        shown="bfloat16 where it is fast",
    )
    compile: bool = _option(
        "Compile the network with torch.compile, which needs a C++ compiler; for GPUs.", HARDWARE, False
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            check(name, getattr(self, name), option)
        if self.teacher is None and self.teacher_weight is not None:
            raise ConfigError("--teacher-weight: says how much to learn from a --teacher, and there is none")


OPTIONS: dict[str, Option] = {
    field.name: field.metadata["option"] for field in dataclasses.fields(TrainConfig)
}
# The options whose default is `auto`.
AUTO = tuple(name for name, option in OPTIONS.items() if option.auto is not None)
# The options that are fields of `ModelConfig`.
NETWORK_OPTIONS = tuple(
    name for name, option in OPTIONS.items() if option.group == NETWORK and name != "architecture"
)


def default(name: str) -> Any:
    """Return the value that a published data set takes for a field that is not set; None if that depends on it."""
    field = TrainConfig.__dataclass_fields__[name]
    return OPTIONS[name].published if field.default is None else field.default


def check(name: str, value: Any, option: Option) -> None:
    """Raise ConfigError unless a value, if there is one, is allowed for its option."""
    if value is None:
        return
    if option.choices and value not in option.choices:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(option.choices)}")
    if isinstance(value, int | float) and not (option.low <= value <= option.high and not math.isnan(value)):
        bounds = f"lie between {option.low} and {option.high}"
        if math.isinf(option.high):
            bounds = f"be at least {option.low}"
        raise ConfigError(f"{name} is {value}; it must {bounds}")
