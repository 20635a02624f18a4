"""Everything that decides which weights a training run ends with, in one frozen dataclass."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

from capsnet.config import ConfigError, InputSpec, ModelConfig
from model.architectures.registry import ARCHITECTURES
from training.data.augmentation import AUGMENTATIONS, Augmentation
from training.data.datasets import FOLDER_PREFIX, DatasetInfo
from training.trainer.losses import RECONSTRUCTION_WEIGHT

Schedule = Literal["cosine", "exponential"]
Precision = Literal["bf16-mixed", "32-true"]

TEACHER_WEIGHT = 0.7
# The augmentation that suits each way of preparing pictures.
DEFAULT_AUGMENTATION = {"mnist": "digits", "fashion": "clothes", "resize": "photos"}
# A run on a folder validates and saves at most so often: an epoch of few images is shorter than its validation.
MOST_VALIDATIONS = 40
# A network that is tested on transformed digits must have been trained on digits that were only shifted.
OWN_AUGMENTATION = {"translated_mnist": "none"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a run; stored in its checkpoints, and compared when it is resumed.

    Attributes
    ----------
    dataset
        A name that `training.data.datasets` knows.
    config
        The network.
    input
        How pictures become arrays; the preprocessing is what the service will do too.
    epochs, batch_size
        Passes over the training images, and images a step over all devices together.
    learning_rate, schedule, decay, floor, warmup
        Adam's peak rate; `cosine` falls from it to `floor` over the run, `exponential` multiplies it by `decay` an
        epoch down to `floor`. The first `warmup` steps rise linearly.
    ema
        Decay of the moving average of the weights, a step; the averaged weights are validated and kept.
    weight_decay
        Share of every weight matrix and kernel that a step of rate 1 takes away, apart from the gradient (Loshchilov,
        Hutter 2017, https://arxiv.org/abs/1711.05101); biases and normalisations keep theirs.
    augmentation
        A key of `training.data.augmentation.AUGMENTATIONS`.
    reconstruction_weight
        Weight of the sum of squared pixel errors beside the margin loss.
    validation
        Images cut off the training set to choose the epoch with; at most a tenth of the set.
    seed
        Of the initial weights, the order and the augmentation.
    split_seed
        Of the images held out for validation; None for `seed`. Runs of different seeds and one split seed hold out the
        same images, so that they can be compared in pairs, averaged, and teach together.
    precision
        Of the convolutions; routing and squash are float32 in either.
    start
        Fingerprint of the weights that the run starts from; empty for fresh ones.
    teacher
        Fingerprint of a network whose answers are learned beside the labels; empty for the labels alone.
    teacher_weight
        Share of the teacher in the target of each class; the rest is the label's.

    Raises
    ------
    ConfigError
        If a value is outside its bounds; the message names the field and the allowed values.
    """

    dataset: str
    config: ModelConfig
    input: InputSpec
    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    decay: float = 0.97
    floor: float = 1e-6
    warmup: int = 200
    ema: float = 0.999
    weight_decay: float = 0.0
    augmentation: str = "none"
    reconstruction_weight: float = RECONSTRUCTION_WEIGHT
    validation: int = 5000
    seed: int = 0
    split_seed: int | None = None
    precision: Precision = "32-true"
    start: str = ""
    teacher: str = ""
    teacher_weight: float = TEACHER_WEIGHT

    def __post_init__(self) -> None:
        for name, (low, high) in {
            "epochs": (1, 10_000),
            "batch_size": (2, 65_536),
            "learning_rate": (0.0, 1.0),
            "decay": (0.0, 1.0),
            "floor": (0.0, 1.0),
            "warmup": (0, 1_000_000),
            "ema": (0.0, 0.999_999),
            "weight_decay": (0.0, 10.0),
            "reconstruction_weight": (0.0, 1000.0),
            "validation": (1, 1_000_000),
            "seed": (0, 2**32 - 1),
            "teacher_weight": (0.0, 1.0),
        }.items():
            value = getattr(self, name)
            if not (low <= value <= high and math.isfinite(value)):
                raise ConfigError(f"{name} is {value}; it must lie between {low} and {high}")
        if self.split_seed is not None and not 0 <= self.split_seed < 2**32:
            raise ConfigError(f"split_seed is {self.split_seed}; it must lie between 0 and {2**32 - 1}")
        if self.config.architecture not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            raise ConfigError(f"architecture is {self.config.architecture!r}; known are {known}")
        for name, allowed in {
            "schedule": get_args(Schedule),
            "precision": get_args(Precision),
            "augmentation": tuple(AUGMENTATIONS),
        }.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}"
                )

    @property
    def held_out_by(self) -> int:
        """Return the seed that chooses the validation images."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def policy(self) -> Augmentation:
        """The augmentation by its values."""
        return AUGMENTATIONS[self.augmentation]

    @property
    def validate_every(self) -> int:
        """Epochs from one validation to the next: 1, but more in long runs on a folder."""
        return math.ceil(self.epochs / MOST_VALIDATIONS) if self.dataset.startswith(FOLDER_PREFIX) else 1

    def rate(self, step: int, steps_an_epoch: int) -> float:
        """Learning rate of a step, counted from 0 over the whole run."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        if self.schedule == "exponential":
            decayed: float = self.learning_rate * self.decay ** (step / steps_an_epoch)
            return rise * max(self.floor, decayed)
        done = step / (steps_an_epoch * self.epochs)
        return rise * (self.floor + (self.learning_rate - self.floor) * (1 + math.cos(math.pi * done)) / 2)

    def to_dict(self) -> dict[str, object]:
        """The recipe as plain values, as `from_dict` takes them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "Recipe":
        """The recipe that `to_dict` wrote; raises KeyError, TypeError or ValueError if it is not one."""
        config = dict(values["config"])  # type: ignore[call-overload]
        config["decoder_hidden"] = tuple(config["decoder_hidden"])
        spec = InputSpec(**values["input"])  # type: ignore[arg-type]
        return cls(**values | {"config": ModelConfig(**config), "input": spec})  # type: ignore[arg-type]


def default_augmentation(info: DatasetInfo) -> str:
    """Name of the augmentation that suits a data set."""
    return OWN_AUGMENTATION.get(info.name, DEFAULT_AUGMENTATION[info.input.preprocess])
