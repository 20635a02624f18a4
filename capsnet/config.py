"""Define the configuration of a network, and the base of the errors that a user can correct."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Preprocess = Literal["mnist", "fashion", "resize"]


class UserError(ValueError):
    """An error in a command or a file that the user can correct; the message names the fault and the allowed values.

    The base class of the errors of `model`, `training` and model cards.
    """


class ConfigError(UserError):
    """A setting of a network is outside its bounds."""


class Record:
    """A part of a model card. From JSON it takes known fields only, of exactly their types, with finite numbers."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }


def are_digits(classes: Sequence[str]) -> bool:
    """Tell whether classes are the ten digits in order; then images are preprocessed as images of digits."""
    return tuple(classes) == tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Record):
    """The configuration that rebuilds a network; stored in its checkpoint and in its card.

    Attributes
    ----------
    architecture
        A key of `model.architectures.registry.ARCHITECTURES`.
    num_classes
        J, the number of class capsules.
    channels, height, width
        Shape of the image.
    pose_dim
        D, the number of dimensions of a class capsule.
    primary_capsules
        Capsules below the class capsules of `efficient` and `residual`, and in groups of as many units of `cnn-small`;
        the other architectures have their own number.
    routing_iterations
        Iterations of dynamic routing, in `capsnet` and `shared`.
    class_bias
        Add a learned bias to every class capsule before the squash, as the official CapsNet code does.
    detach_routing
        Keep the gradient from flowing through the routing coefficients of all iterations but the last.
    decoder_hidden
        Widths of the decoder's hidden layers.

    Raises
    ------
    ConfigError
        If a value is outside its bounds; the message names the field and the allowed values.
    """

    architecture: str
    num_classes: int = 10
    channels: int = 1
    height: int = 28
    width: int = 28
    pose_dim: int = 16
    primary_capsules: int = 16
    routing_iterations: int = 3
    class_bias: bool = False
    detach_routing: bool = False
    decoder_hidden: tuple[int, ...] = (512, 1024)

    def __post_init__(self) -> None:
        bounds = {
            "num_classes": (2, 10_000),
            "channels": (1, 3),
            "height": (20, 256),
            "width": (20, 256),
            "pose_dim": (1, 1024),
            "primary_capsules": (1, 1024),
            "routing_iterations": (1, 100),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}; it must lie between {low} and {high}")
        if not self.decoder_hidden or min(self.decoder_hidden) < 1:
            raise ConfigError(
                f"decoder_hidden is {self.decoder_hidden}; it must list at least one positive width"
            )

    @property
    def has_capsules(self) -> bool:
        """Whether lengths and poses are those of capsules, not the probabilities and features of a CNN."""
        return not self.architecture.startswith("cnn")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image, (C,H,W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class InputSpec(Record):
    """The shape of a network's input, and the preprocessing of image files (see `capsnet.preprocessing.pipeline`)."""

    channels: int
    height: int
    width: int
    preprocess: Preprocess
