"""Combine several networks, and a mirrored copy of each image: the mean of the lengths, the poses of the first network.

A mean of lengths is not the length of a pose. So the card tells when lengths are means.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from capsnet.config import ConfigError
from model.nn.layers import CapsuleNetwork


class Ensemble(CapsuleNetwork):
    """Networks of one configuration that answer together.

    Parameters
    ----------
    members
        At least one; they are copied. The first gives the poses and the decoder.
    mirrored
        Have every member encode the image and its mirror image, left to right.

    Raises
    ------
    ConfigError
        If the networks differ in more than their weights, or are networks without capsules, whose classes compete.
    """

    def __init__(self, members: Sequence[CapsuleNetwork], *, mirrored: bool = False) -> None:
        nn.Module.__init__(self)
        first = members[0]
        for member in members:
            if member.config != first.config:
                raise ConfigError(
                    f"an ensemble is of networks of one kind, not of {first.config} and {member.config}"
                )
            if member.softmax:
                raise ConfigError(
                    f"an ensemble is of capsule networks, and {member.config.architecture} is none"
                )
        self.config, self.mirrored = first.config, mirrored
        self.members = nn.ModuleList(map(_without_decoder, members))
        self.decoder = copy.deepcopy(first.decoder)

    @property
    def _networks(self) -> list[CapsuleNetwork]:
        return list(self.members)  # type: ignore[arg-type]

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean lengths (B,J) and the first member's poses (B,J,D) from images (B,C,H,W) in [0,1]."""
        views = torch.cat([images, images.flip(3)]) if self.mirrored else images  # (V*B,C,H,W)
        encoded = [member.encode(views) for member in self._networks]
        lengths = torch.stack([lengths for lengths, _ in encoded]).mean(dim=0)  # (V*B,J)
        poses = encoded[0][1]  # (V*B,J,D)
        if not self.mirrored:
            return lengths, poses
        count = images.shape[0]
        return (lengths[:count] + lengths[count:]) / 2, poses[:count]  # (B,J), (B,J,D)

    def first(self) -> CapsuleNetwork:
        """Return a copy of the first network, with its decoder."""
        network = copy.deepcopy(self._networks[0])
        network.decoder = copy.deepcopy(self.decoder)
        return network

    def capsules(self, images: Tensor) -> Tensor:
        """Return the first member's poses (B,J,D)."""
        return self.encode(images)[1]


def _without_decoder(network: CapsuleNetwork) -> CapsuleNetwork:
    copied = copy.deepcopy(network)
    copied.decoder = nn.Identity()  # type: ignore[assignment]
    return copied
