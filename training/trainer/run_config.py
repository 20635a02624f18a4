"""Hold all settings that decide the final weights of a run, in one frozen dataclass."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from capsnet.config import ConfigError, InputSpec, ModelConfig
from model.architectures.registry import ARCHITECTURES
from training.data.augmentation import AUGMENTATIONS, Augmentation
from training.data.datasets import DERIVED, FOLDER_PREFIX, DatasetInfo
from training.trainer.config import OPTIONS, Precision, Schedule, check, default

# The augmentation that suits each way of preparing images.
DEFAULT_AUGMENTATION = {"mnist": "digits", "fashion": "clothes", "resize": "photos"}
# A run on a folder validates and saves at most so often: an epoch of few images is shorter than its validation.
MOST_VALIDATIONS = 40
# A network that is tested on transformed digits must have been trained on digits that were only shifted.
OWN_AUGMENTATION = {"translated_mnist": "none"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A `TrainConfig` with a value for every `auto`, without settings that do not affect the weights.

    It is stored in the checkpoints of a run, and compared when the run is resumed. A field that is not given has the
    default of `TrainConfig` for published data sets.

    Attributes
    ----------
    dataset
        A name that `training.data.datasets` knows.
    network
        How the network is built.
    input
        How images become arrays; the service preprocesses in the same way.
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
        Images held out of the training set to choose the epoch: at most a tenth of it, of a folder with fewer than
        2,000 images at most a fifth, and of a folder with a validation part exactly that part.
    seed
        Seed of the initial weights, the order and the augmentation.
    split_seed
        Seed of the images held out for validation; None for `seed`. Runs of different seeds and one split seed hold out
        the same images, so that they can be compared in pairs, averaged, and teach together.
    precision
        Precision of convolutions and decoder; routing, squash and margin loss are always float32.
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
    network: ModelConfig
    input: InputSpec
    epochs: int
    batch_size: int = default("batch_size")
    learning_rate: float = default("learning_rate")
    schedule: Schedule = default("schedule")
    decay: float = default("decay")
    floor: float = default("floor")
    warmup: int = default("warmup")
    ema: float = default("ema")
    weight_decay: float = default("weight_decay")
    augmentation: str
    reconstruction_weight: float = default("reconstruction_weight")
    validation: int = default("validation")
    seed: int = default("seed")
    split_seed: int | None = default("split_seed")
    precision: Precision
    start: str = ""
    teacher: str = ""
    teacher_weight: float = default("teacher_weight")

    def __post_init__(self) -> None:
        for name in OPTIONS.keys() & self.__dataclass_fields__.keys() - {"teacher"}:
            check(name, getattr(self, name), OPTIONS[name])
        if self.network.architecture not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            raise ConfigError(f"architecture is {self.network.architecture!r}; known are {known}")
        if self.floor > max(self.learning_rate, default("floor")):
            raise ConfigError(
                f"floor is {self.floor:g}; it must be at most the learning rate, {self.learning_rate:g}"
            )
        if self.augmentation not in AUGMENTATIONS:
            raise ConfigError(
                f"augmentation is {self.augmentation!r}; it must be one of {', '.join(AUGMENTATIONS)}"
            )
        if self.dataset in DERIVED and AUGMENTATIONS[self.augmentation].published:
            raise ConfigError(
                f"augmentation is {self.augmentation!r}, which shifts each digit within its image, and {self.dataset} "
                "shifts digits itself; take another one"
            )

    @property
    def held_out_by(self) -> int:
        """Return the seed that chooses the validation images."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def policy(self) -> Augmentation:
        """Return the values of the augmentation."""
        return AUGMENTATIONS[self.augmentation]

    @property
    def validate_every(self) -> int:
        """Return the epochs from one validation to the next: 1, but more in long runs on a folder."""
        return math.ceil(self.epochs / MOST_VALIDATIONS) if self.dataset.startswith(FOLDER_PREFIX) else 1

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step, counted from 0 over the whole run."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        floor = min(self.floor, self.learning_rate)
        if self.schedule == "exponential":
            decayed: float = self.learning_rate * self.decay ** (step / steps_per_epoch)
            return rise * max(floor, decayed)
        done = step / (steps_per_epoch * self.epochs)
        return rise * (floor + (self.learning_rate - floor) * (1 + math.cos(math.pi * done)) / 2)

    def to_dict(self) -> dict[str, object]:
        """Return the settings as plain values, as `from_dict` takes them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "RunConfig":
        """Return the settings that `to_dict` wrote; raises KeyError, TypeError or ValueError if they are invalid."""
        values = dict(values)
        network: Any = values.pop("network", None) or values.pop("config")  # its name in older checkpoints
        network = ModelConfig(**network | {"decoder_hidden": tuple(network["decoder_hidden"])})
        spec = InputSpec(**values.pop("input"))  # type: ignore[arg-type]
        return cls(**values, network=network, input=spec)  # type: ignore[arg-type]


def default_augmentation(info: DatasetInfo) -> str:
    """Return the name of the augmentation that suits a data set."""
    return OWN_AUGMENTATION.get(info.name, DEFAULT_AUGMENTATION[info.input.preprocess])
