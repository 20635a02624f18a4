"""Every architecture by its name. To add one, write its file and list it here; the tests find it by this dict."""

from model.capsnet import CapsNet
from model.cnn import CNN, ResidualCNN, SmallCNN
from model.contract import ConfigError, ModelConfig
from model.efficient import EfficientCapsNet
from model.layers import CapsuleNetwork
from model.shared import SharedCapsNet

ARCHITECTURES: dict[str, type[CapsuleNetwork]] = {
    "capsnet": CapsNet,
    "cnn": CNN,
    "cnn-residual": ResidualCNN,
    "cnn-small": SmallCNN,
    "efficient": EfficientCapsNet,
    "shared": SharedCapsNet,
}


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
