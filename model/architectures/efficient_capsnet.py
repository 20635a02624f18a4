"""Efficient-CapsNet: "Efficient-CapsNet: capsule network with self-attention routing", Mazzia, Salvetti,
Chiaberge 2021, Scientific Reports 11, 14634, https://arxiv.org/abs/2101.12491

28x28 -> four small convolutions -> 9x9x128 -> depthwise 9x9 -> 16 capsules of 8-D -> attention -> 10 capsules of 16-D.
"""

import math

import torch
from torch import Tensor, nn

from capsnet.config import ModelConfig
from model.nn import functional
from model.nn.layers import TRUNCATED, AttentionRoutingCaps, CapsuleNetwork, float32_squash

PRIMARY_DIM = 8
# From this size on the third convolution halves the map too, as in the authors' 36x36 variant.
LARGE = 32


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, ReLU and BatchNorm, in this order, with Keras' epsilon and momentum."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(
        conv,
        nn.ReLU(),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    )


def trunk_output_size(size: int, stride: int) -> int:
    """Return the height or width of the last feature map of the trunk for an image of `size` pixels."""
    third = (size - 6 - 3) // stride + 1
    return (third - 3) // 2 + 1


def gathering_kernel(size: int, stride: int) -> int:
    """Return the size of the depthwise kernel that covers a whole map: odd, so of an even map one line is lost."""
    return (trunk_output_size(size, stride) - 1) // 2 * 2 + 1


class GlobalDepthwiseConv(nn.Conv2d):
    """A depthwise convolution with a single position, the first corner: in training a product and a sum.

    The backward pass of the convolution alone would take a quarter of the training time on a CPU.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return maps (B,C,h,w) of a depthwise convolution over features (B,C,H,W)."""
        if not self.training:
            return super().forward(features)
        features = features[:, :, : self.weight.shape[2], : self.weight.shape[3]]  # an even map loses a line
        weight = self.weight.squeeze(1).permute(1, 2, 0).contiguous().to(features.dtype)  # (H,W,C)
        products = features.permute(0, 2, 3, 1) * weight  # (B,H,W,C), as channels-last memory lies
        maps = products.sum(dim=(1, 2), dtype=torch.float32) + self.bias  # type: ignore[operator]  # (B,C)
        return maps[:, :, None, None]


def feature_count(config: ModelConfig) -> int:
    """Return F, the channels of the last map: the dimensions of all primary capsules; 128 in the paper."""
    return config.primary_capsules * PRIMARY_DIM


def encoder_layers(config: ModelConfig) -> tuple[nn.Sequential, GlobalDepthwiseConv]:
    """Return the trunk of four convolutions, and the one that covers its whole last map: (B,C,H,W) -> (B,F,1,1)."""
    features = feature_count(config)
    stride = 2 if max(config.height, config.width) >= LARGE else 1
    trunk = nn.Sequential(
        convolution(config.channels, 32, 5),
        convolution(32, 64, 3),
        convolution(64, 64, 3, stride=stride),
        convolution(64, features, 3, stride=2),
    )
    kernel = (gathering_kernel(config.height, stride), gathering_kernel(config.width, stride))
    return trunk, GlobalDepthwiseConv(features, features, kernel, stride=2, groups=features)


class GatheredCapsNet(CapsuleNetwork):
    """A trunk whose whole last map is gathered into capsules, and attention routing."""

    choices = frozenset({"primary_capsules"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.trunk, self.gather = self.encoder_layers(config)
        # Keras' he_normal on this shape, whose first two axes it counts as a receptive field: 0.0395 after the cut.
        inputs = config.primary_capsules
        std = math.sqrt(2 / (PRIMARY_DIM * config.num_classes * inputs)) / TRUNCATED
        self.digits = AttentionRoutingCaps(inputs, PRIMARY_DIM, config, std=std)

    @staticmethod
    def encoder_layers(config: ModelConfig) -> tuple[nn.Module, nn.Module]:
        """Return the trunk, (B,C,H,W) to its last map, and the layer that gathers this map: (B,F,1,1)."""
        raise NotImplementedError

    def capsules(self, images: Tensor) -> Tensor:
        features = self.gather(self.trunk(images))  # (B,F,1,1)
        u = functional.capsules_from_channels(features, PRIMARY_DIM)  # (B,I,8)
        poses: Tensor = self.digits(float32_squash(u, functional.squash_exponential))  # (B,J,D)
        return poses


class EfficientCapsNet(GatheredCapsNet):
    """A trunk of four convolutions below the gathered capsules."""

    @staticmethod
    def encoder_layers(config: ModelConfig) -> tuple[nn.Module, nn.Module]:
        """Return the four convolutions, and the one that covers their last map."""
        return encoder_layers(config)
