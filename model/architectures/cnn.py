"""Convolutional networks without capsules, with which capsules are compared.

Sabour et al. 2017 (https://arxiv.org/abs/1710.09829, section 5) compare with the large one, `CNN`. `SmallCNN` is
Efficient-CapsNet with its capsules taken out: the same trunk and the same number of parameters. `ResidualCNN` is the
trunk of `model.architectures.residual_capsnet` without capsules: four residual blocks of He et al. 2016
(https://arxiv.org/abs/1512.03385).

All have the interface of a capsule network, as CNN+CR of Qin et al. 2019 has, "Detecting and Diagnosing Adversarial
Images with Class-Conditional Capsule Reconstructions" (https://arxiv.org/abs/1907.02957). The last hidden layer is J
groups of D linear units, the sum of a group is the logit of its class, and the decoder gets the group of one class
alone. So a group takes the place of a pose, and a probability that of a length.
"""

import torch
from torch import Tensor, nn

from capsnet.config import ModelConfig
from model.architectures.efficient_capsnet import encoder_layers, feature_count
from model.nn import functional
from model.nn.layers import CapsuleNetwork

# The paper names dropout without its rate.
DROPOUT = 0.5


class GroupedClassifier(CapsuleNetwork):
    """Groups of units instead of capsules, and a softmax over their sums instead of lengths.

    A subclass defines `features`, which returns (B,F), and calls `build_head` with F.
    """

    softmax = True

    def build_head(self, features: int) -> None:
        """Make the layer of groups for so many features."""
        self.groups = nn.Linear(features, self.config.num_classes * self.config.pose_dim)

    def features(self, images: Tensor) -> Tensor:
        """Return the features (B,F) for the groups, from images (B,C,H,W) in [0,1]."""
        raise NotImplementedError

    def capsules(self, images: Tensor) -> Tensor:
        features = self.features(images)  # (B,F)
        with torch.autocast(features.device.type, enabled=False):
            units = self.groups(features.float())  # (B,J*D)
        groups: Tensor = units.view(-1, self.config.num_classes, self.config.pose_dim)  # (B,J,D)
        return groups

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B,J) and groups (B,J,D) from images (B,C,H,W) in [0,1]."""
        groups = self.capsules(images)
        return torch.softmax(functional.logits(groups), dim=1), groups


class CNN(GroupedClassifier):
    """The paper's CNN: three 5x5 convolutions without pooling, two wide layers; with D = 1, 35,445,522 parameters."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.trunk = nn.Sequential(
            nn.Conv2d(config.channels, 256, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(256, 256, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(256, 128, 5, padding=2),
            nn.ReLU(),
            nn.Flatten(),  # (B,128*H*W)
            nn.Linear(128 * config.height * config.width, 328),
            nn.ReLU(),
            nn.Linear(328, 192),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
        )
        self.build_head(192)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(images)  # (B,192)
        return features


class SmallCNN(GroupedClassifier):
    """Efficient-CapsNet's trunk and gathering convolution; in place of capsules and routing a ReLU and a layer."""

    choices = frozenset({"primary_capsules"})

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.trunk, self.gather = encoder_layers(config)
        self.build_head(feature_count(config))

    def features(self, images: Tensor) -> Tensor:
        return torch.relu(self.gather(self.trunk(images)).flatten(1))  # (B,F,1,1) -> (B,F)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution (their option B) where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B,C',H',W') from maps (B,C,H,W)."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


def residual_trunk(channels: int, features: int = 128) -> nn.Sequential:
    """Return a convolution and four residual blocks: maps (B,F,H/4,W/4), rounded up, from images (B,C,H,W).

    The convolutions start at Kaiming's initialisation by their outputs (https://arxiv.org/abs/1502.01852).
    """
    trunk = nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        ResidualBlock(32, 64, 2),
        ResidualBlock(64, 64, 1),
        ResidualBlock(64, features, 2),
        ResidualBlock(features, features, 1),
    )
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk


class ResidualCNN(GroupedClassifier):
    """The trunk of `residual` without its capsules: the mean over the last map of 128 channels, and a layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.trunk = residual_trunk(config.channels)
        self.build_head(128)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(images).mean(dim=(2, 3))  # (B,128,H/4,W/4) -> (B,128)
        return features
