"""Residual capsules: the residual trunk of "Deep Residual Learning for Image Recognition", He, Zhang, Ren, Sun 2016,
https://arxiv.org/abs/1512.03385, below the capsules and the attention routing of Efficient-CapsNet, Mazzia, Salvetti,
Chiaberge 2021, https://arxiv.org/abs/2101.12491. The combination is this project's own.

28x28 -> conv 3x3 -> four residual blocks, two of which halve the map -> 7x7x128 -> depthwise 7x7 -> 16 capsules of 8-D
-> attention -> 10 capsules of 16-D. `cnn-residual` is the same trunk without capsules.
"""

from torch import nn

from capsnet.config import ModelConfig
from model.architectures.cnn import residual_trunk
from model.architectures.efficient_capsnet import GatheredCapsNet, GlobalDepthwiseConv, feature_count


def trunk_output_size(size: int) -> int:
    """Return the height or width of the trunk's last map for an image of `size` pixels: a quarter, rounded up."""
    return -(-size // 4)


class ResidualCapsNet(GatheredCapsNet):
    """A residual trunk below the gathered capsules.

    The last two blocks have as many channels as all primary capsules have dimensions: 128 with 16 capsules.
    """

    @staticmethod
    def encoder_layers(config: ModelConfig) -> tuple[nn.Module, nn.Module]:
        """Return the residual blocks, and the convolution that covers their last map."""
        features = feature_count(config)
        kernel = (trunk_output_size(config.height), trunk_output_size(config.width))
        trunk = residual_trunk(config.channels, features)
        return trunk, GlobalDepthwiseConv(features, features, kernel, groups=features)
