"""Define the configuration of a network, and the base of the errors that a user can correct."""

from collections.abc import Sequence
from dataclasses import dataclass, field
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


def doc(words: str) -> dict[str, str]:
    """Return the metadata of a record's field with its description, which pydantic puts into JSON schemas."""
    return {"description": words}


def images_at_once(height: int, width: int, classes: int) -> int:
    """Return how many images a network encodes at once in some 3 GB: 500, fewer large ones and fewer of many classes.

    At 256 x 256 pixels the maps of a residual trunk take 27 MB an image; with 100 classes the predictions of CapsNet
    take 15 MB, at 28 x 28 pixels.
    """
    return max(1, min(500, 2**21 // (height * width), 10_000 // classes))


def are_digits(classes: Sequence[str]) -> bool:
    """Tell whether classes are the ten digits in order; then images are preprocessed as images of digits."""
    return tuple(classes) == tuple("0123456789")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Record):
    """The configuration that rebuilds a network; stored in its checkpoint and in its card.

    `architecture` is a key of `model.architectures.registry.ARCHITECTURES`. `primary_capsules` holds for `efficient`
    and `residual`, and for `cnn-small` in groups of as many units. `class_bias` adds a learned bias to every class
    capsule before the squash, as the official CapsNet code does. `detach_routing` keeps the gradient from flowing
    through any routing coefficient.

    Raises
    ------
    ConfigError
        If a value is outside its bounds; the message names the field and the allowed values.
    """

    architecture: str = field(metadata=doc("Name of the architecture."))
    num_classes: int = field(default=10, metadata=doc("Number of class capsules, J, 2 to 10,000."))
    channels: int = field(default=1, metadata=doc("Channels of the image, 1 to 3."))
    height: int = field(default=28, metadata=doc("Height of the image in pixels."))
    width: int = field(default=28, metadata=doc("Width of the image in pixels."))
    pose_dim: int = field(default=16, metadata=doc("Dimensions of a pose, D."))
    primary_capsules: int = field(
        default=16,
        metadata=doc("Capsules below those of the classes, where the architecture lets one choose."),
    )
    routing_iterations: int = field(
        default=3, metadata=doc("Iterations of dynamic routing, where the architecture has any.")
    )
    class_bias: bool = field(default=False, metadata=doc("Whether class capsules have a bias."))
    detach_routing: bool = field(
        default=False, metadata=doc("Whether training kept the gradient out of the routing.")
    )
    decoder_hidden: tuple[int, ...] = field(
        default=(512, 1024), metadata=doc("Widths of the decoder's hidden layers.")
    )

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
    def images_at_once(self) -> int:
        """How many images are encoded at once where nothing else bounds the memory."""
        return images_at_once(self.height, self.width, self.num_classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image, (C,H,W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class InputSpec(Record):
    """The shape of a network's input, and the preprocessing of image files (see `capsnet.preprocessing.pipeline`)."""

    channels: int = field(metadata=doc("Channels of the image, 1 to 3."))
    height: int = field(metadata=doc("Height in pixels."))
    width: int = field(metadata=doc("Width in pixels."))
    preprocess: Preprocess = field(metadata=doc("How an image becomes that."))
