"""Shared-weight capsules on a small convolutional network: the capsule layer of Keras' published example
(https://keras.io, "Capsule" in the examples of Keras 2), with the routing logits accumulated as in the paper
(https://arxiv.org/abs/1710.09829).

28x28 -> conv 5x5, pool -> conv 5x5, pool -> 49 capsules of 32-D -> one matrix a class, shared by all of them
-> 10 capsules (of 30-D in the published layer, with 5 routings).
"""

from functools import partial

from torch import Tensor, nn

from capsnet.card import Grid
from capsnet.config import ModelConfig
from model.nn import functional
from model.nn.layers import ROUTING_CHOICES, TRUNCATED, DynamicRoutingCaps, GridCapsuleNetwork

PRIMARY_DIM = 32


class SharedCapsNet(GridCapsuleNetwork):
    """Every pixel of the last map is a capsule, and all of them predict through the same matrix."""

    choices = ROUTING_CHOICES

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.trunk = nn.Sequential(
            nn.Conv2d(config.channels, 16, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, PRIMARY_DIM, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        inputs = (config.height // 4) * (config.width // 4)
        squash = partial(functional.squash, offset=0.5)
        # Glorot's, for a matrix of 32 x (J*D), as the published layer has it.
        std = (2 / (PRIMARY_DIM + config.num_classes * config.pose_dim)) ** 0.5 / TRUNCATED
        self.digits = DynamicRoutingCaps(inputs, PRIMARY_DIM, config, std=std, squash=squash, shared=True)

    @property
    def grid(self) -> Grid:
        # Two convolutions of 5 and two poolings of 2 see 16 pixels; padding lets the first field begin outside.
        rows, columns = self.config.height // 4, self.config.width // 4
        return Grid(rows=rows, columns=columns, types=1, field=16, step=4, first=-6)

    def parts(self, images: Tensor) -> Tensor:
        features = self.trunk(images)  # (B,32,H/4,W/4)
        return functional.capsules_from_channels(features, PRIMARY_DIM)  # (B,49,32)
