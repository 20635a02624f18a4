"""Every architecture by its name. To add one, write its file and list it here; the tests find it by this dict."""

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

# What some architectures have no use for.
CHOICES = ("primary_capsules", "routing_iterations", "class_bias", "detach_routing")


def refuse_unused(config: ModelConfig) -> None:
    """See that a network has a use for all that is chosen for it: a choice that did nothing would look like a result.

    Raises
    ------
    ConfigError
        If it has none for a value that is not the default; the message names the architectures that have.
    """
    for name in CHOICES:
        chosen, usual = getattr(config, name), getattr(ModelConfig, name)
        if chosen != usual and name not in ARCHITECTURES[config.architecture].choices:
            users = ", ".join(sorted(key for key, each in ARCHITECTURES.items() if name in each.choices))
            raise ConfigError(
                f"{name} is {chosen}, for which {config.architecture} has no use; those that have: {users}"
            )


def build(config: ModelConfig) -> CapsuleNetwork:
    """A freshly initialised network.

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
