"""CapsNet: "Dynamic Routing Between Capsules", Sabour, Frosst, Hinton 2017, https://arxiv.org/abs/1710.09829

28x28 -> conv 9x9 -> 20x20x256 -> conv 9x9 stride 2 -> 6x6 x 32 types of 8-D capsules -> 10 capsules of 16-D.
"""

from torch import Tensor, nn

from capsnet.card import Grid
from capsnet.config import ModelConfig
from model.nn import functional
from model.nn.layers import ROUTING_CHOICES, DynamicRoutingCaps, GridCapsuleNetwork, float32_squash

CHANNELS = 256
TYPES = 32
PRIMARY_DIM = 8
KERNEL = 9


class CapsNet(GridCapsuleNetwork):
    """Two convolutions, 32 primary capsules of 8-D at every pixel, and routing by agreement.

    The routing weights start at a sigma of 0.1, as in the authors' code (https://github.com/Sarasra/models,
    research/capsules); the paper gives none. The convolutions keep PyTorch's initialisation, with which that code's
    division of the primary capsules by 32 must be left out.
    """

    choices = ROUTING_CHOICES

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        height, width = ((size - KERNEL + 1 - KERNEL) // 2 + 1 for size in (config.height, config.width))
        self.grid_size = height, width
        self.conv = nn.Conv2d(config.channels, CHANNELS, KERNEL)
        self.primary = nn.Conv2d(CHANNELS, TYPES * PRIMARY_DIM, KERNEL, stride=2)
        self.digits = DynamicRoutingCaps(height * width * TYPES, PRIMARY_DIM, config, std=0.1)

    @property
    def grid(self) -> Grid:
        rows, columns = self.grid_size
        return Grid(rows=rows, columns=columns, types=TYPES, field=2 * KERNEL - 1, step=2, first=0)

    def parts(self, images: Tensor) -> Tensor:
        features = self.conv(images).relu()  # (B,256,H-8,W-8)
        primary = self.primary(features)  # (B,32*8,h,w); linear: the squash is the non-linearity
        u = functional.capsules_from_channels(primary, PRIMARY_DIM)  # (B,h*w*32,8)
        return float32_squash(u, functional.squash)
