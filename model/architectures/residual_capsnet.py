"""Residual capsules: the residual trunk of "Deep Residual Learning for Image Recognition", He, Zhang, Ren, Sun 2016,
https://arxiv.org/abs/1512.03385, below the capsules and the attention routing of Efficient-CapsNet, Mazzia, Salvetti,
Chiaberge 2021, https://arxiv.org/abs/2101.12491. The combination is this project's own.

28x28 -> conv 3x3 -> four residual blocks, two of which halve the map -> 7x7x128 -> depthwise 7x7 -> 16 capsules of 8-D
-> attention -> 10 capsules of 16-D. `cnn-residual` is the same trunk without capsules.
"""

import math

from torch import Tensor

from capsnet.config import ModelConfig
from model.architectures.cnn import residual_trunk
from model.architectures.efficient_capsnet import PRIMARY_DIM, GlobalDepthwiseConv, feature_count
from model.nn import functional
from model.nn.layers import TRUNCATED, AttentionRoutingCaps, CapsuleNetwork, float32_squash


def trunk_output_size(size: int) -> int:
    """Return the height or width of the trunk's last map for an image of `size` pixels: a quarter, rounded up."""
    return -(-size // 4)


class ResidualCapsNet(CapsuleNetwork):
    """A residual trunk whose whole last map is gathered into capsules, and attention routing.

    The last two blocks have as many channels as all primary capsules have dimensions: 128 with 16 capsules.
    """

    choices = frozenset({"primary_capsules"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        features, inputs = feature_count(config), config.primary_capsules
        kernel = (trunk_output_size(config.height), trunk_output_size(config.width))
        self.trunk = residual_trunk(config.channels, features)
        self.gather = GlobalDepthwiseConv(features, features, kernel, groups=features)
        # The initialisation of Efficient-CapsNet's routing weights.
        std = math.sqrt(2 / (PRIMARY_DIM * config.num_classes * inputs)) / TRUNCATED
        self.digits = AttentionRoutingCaps(inputs, PRIMARY_DIM, config, std=std)

    def capsules(self, images: Tensor) -> Tensor:
        features = self.gather(self.trunk(images))  # (B,C,H,W) -> (B,F,H/4,W/4) -> (B,F,1,1)
        u = functional.capsules_from_channels(features, PRIMARY_DIM)  # (B,I,8)
        poses: Tensor = self.digits(float32_squash(u, functional.squash_exponential))  # (B,J,D)
        return poses
