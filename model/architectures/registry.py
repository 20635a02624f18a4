"""List every architecture by its name. To add one, write its file and list it here; the tests read this dict."""

from capsnet.config import ConfigError, ModelConfig
from model.architectures.capsnet import CapsNet
from model.architectures.cnn import CNN, ResidualCNN, SmallCNN
from model.architectures.efficient_capsnet import EfficientCapsNet
from model.architectures.residual_capsnet import ResidualCapsNet
from model.architectures.shared_capsnet import SharedCapsNet
from model.nn.layers import CapsuleNetwork

ARCHITECTURES: dict[str, type[CapsuleNetwork]] = {
    "capsnet": CapsNet,
    "cnn": CNN,
    "cnn-residual": ResidualCNN,
    "cnn-small": SmallCNN,
    "efficient": EfficientCapsNet,
    "residual": ResidualCapsNet,
    "shared": SharedCapsNet,
}

# Fields that only some architectures use.
CHOICES = ("primary_capsules", "routing_iterations", "class_bias", "detach_routing")


def refuse_unused(config: ModelConfig) -> None:
    """Refuse a choice that a network does not use: its result would look like an effect of the choice.

    Raises
    ------
    ConfigError
        If a value that is not the default has no effect; the message names the architectures that use it.
    """
    for name in CHOICES:
        chosen, default = getattr(config, name), getattr(ModelConfig, name)
        if chosen != default and name not in ARCHITECTURES[config.architecture].choices:
            users = ", ".join(sorted(key for key, each in ARCHITECTURES.items() if name in each.choices))
            raise ConfigError(
                f"{name} is {chosen}, for which {config.architecture} has no use; those that have: {users}"
            )


def build(config: ModelConfig) -> CapsuleNetwork:
    """Return a newly initialised network.

    Raises
    ------
    ConfigError
        If the architecture is not known; the message lists those that are.
    """
    try:
        architecture = ARCHITECTURES[config.architecture]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(f"architecture is {config.architecture!r}; known are {known}") from None
    return architecture(config)
