"""Define the layers that capsule networks share, and the network that joins an encoder and a decoder.

Legend: B batch, I input capsules, J output capsules, E dimensions of an input capsule, D of an output capsule,
C channels, H height, W width.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from capsnet.card import Grid
from capsnet.config import ModelConfig
from model.nn import functional, routing, routing_backward

# Standard deviation of a standard normal distribution that is cut off at two: Keras' initialisers divide by it.
TRUNCATED = 0.8796


class RoutedCaps(nn.Module):
    """Output capsules from input capsules: a matrix for every pair, and a rule that weighs the predictions.

    Parameters
    ----------
    inputs, input_dim
        I and E of the capsules below.
    outputs, dim
        J and D of the capsules made here.
    std
        Standard deviation of the normal distribution of the initial weights, cut off at two of them (which leaves
        `TRUNCATED` of it), like TensorFlow's truncated normal.
    shared
        One matrix an output capsule, used by all input capsules, instead of one a pair.
    """

    def __init__(
        self, inputs: int, input_dim: int, outputs: int, dim: int, *, std: float, shared: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, 1 if shared else inputs, input_dim, dim))  # (J,I,E,D)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)

    def predictions(self, u: Tensor) -> Tensor:
        """Return u_hat (B,J,I,D): capsules u (B,I,E) times the weights (J,I,E,D)."""
        if self.weight.shape[1] == 1:
            return torch.einsum("bie,jed->bjid", u, self.weight.squeeze(1))
        return torch.einsum("bie,jied->bjid", u, self.weight)

    def route(self, u_hat: Tensor) -> Tensor:
        """Return poses (B,J,D) from predictions (B,J,I,D)."""
        raise NotImplementedError

    def forward(self, u: Tensor) -> Tensor:
        """Return poses (B,J,D) from capsules (B,I,E), in float32 also under autocast."""
        with torch.autocast(u.device.type, enabled=False):
            return self.route(self.predictions(u.float()))


# Fields of `ModelConfig` that dynamic routing uses.
ROUTING_CHOICES = frozenset({"routing_iterations", "class_bias", "detach_routing"})

# Images that are predicted and routed at a time: CapsNet's predictions take 737 KB an image (29 MB with 100 classes
# and images of 40 pixels), and their gradient as much again. More are no faster on a CPU.
CHUNK = 32


class DynamicRoutingCaps(RoutedCaps):
    """Routing by agreement, `iterations` times."""

    def __init__(
        self,
        inputs: int,
        input_dim: int,
        config: ModelConfig,
        *,
        std: float,
        squash: Callable[[Tensor], Tensor] = functional.squash,
        shared: bool = False,
    ) -> None:
        super().__init__(inputs, input_dim, config.num_classes, config.pose_dim, std=std, shared=shared)
        self.iterations = config.routing_iterations
        self.detach = config.detach_routing
        self.squash = squash
        # As in the code of the paper's authors, https://github.com/Sarasra/models, research/capsules.
        bias = torch.full((config.num_classes, config.pose_dim), 0.1)
        self.bias = nn.Parameter(bias) if config.class_bias else None

    def forward(self, u: Tensor) -> Tensor:
        """Return poses (B,J,D) from capsules (B,I,E), in float32 also under autocast."""
        learns_on_gpu = u.device.type != "cpu" and torch.is_grad_enabled()
        if learns_on_gpu or torch.compiler.is_exporting():  # a graph has one path for any batch
            return super().forward(u)
        return torch.cat([super(DynamicRoutingCaps, self).forward(part) for part in torch.split(u, CHUNK)])

    def route(self, u_hat: Tensor) -> Tensor:
        if torch.is_grad_enabled() and u_hat.requires_grad:
            return routing_backward.dynamic_routing(
                u_hat, self.iterations, self.bias, squash=self.squash, detach=self.detach
            )
        poses, _ = routing.dynamic_routing(
            u_hat, self.iterations, self.bias, squash=self.squash, detach=self.detach
        )
        return poses

    def history(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return couplings and agreements (B,T,J,I) and lengths (B,T,J) of each iteration, from capsules (B,I,E)."""
        u_hat = self.predictions(u.float())
        return routing.routing_history(u_hat, self.iterations, self.bias, squash=self.squash)


class AttentionRoutingCaps(RoutedCaps):
    """Routing by self-attention, with a learned prior a pair of capsules."""

    def __init__(self, inputs: int, input_dim: int, config: ModelConfig, *, std: float) -> None:
        super().__init__(inputs, input_dim, config.num_classes, config.pose_dim, std=std)
        self.bias = nn.Parameter(torch.zeros(config.num_classes, inputs))  # (J,I)

    def route(self, u_hat: Tensor) -> Tensor:
        poses, _ = routing.attention_routing(u_hat, self.bias)
        return poses


class Decoder(nn.Module):
    """Draw an image from the capsule of one class: fully connected, ReLU between, sigmoid at the end."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.image_shape = config.image_shape
        widths = [config.num_classes * config.pose_dim, *config.decoder_hidden]
        hidden = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
        pixels = config.channels * config.height * config.width
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], pixels), nn.Sigmoid())

    def forward(self, poses: Tensor, label: Tensor) -> Tensor:
        """Return images (B,C,H,W) in [0,1] from poses (B,J,D), of which it uses only the capsule label (B,)."""
        pixels: Tensor = self.layers(functional.mask(poses, label))  # (B,C*H*W)
        return pixels.view(-1, *self.image_shape)


class CapsuleNetwork(nn.Module):
    """An encoder from images to class capsules and a decoder back.

    A subclass defines `capsules`; everything else (lengths, masking, reconstruction) is the same for all of them.
    """

    # Whether the classes compete, as in a CNN: "lengths" are then a softmax over the logits of `functional.logits`.
    softmax = False
    # The fields of `ModelConfig` among `registry.CHOICES` that this architecture uses.
    choices: frozenset[str] = frozenset()

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config)

    def capsules(self, images: Tensor) -> Tensor:
        """Return poses (B,J,D), float32, from images (B,C,H,W) in [0,1]."""
        raise NotImplementedError

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return lengths (B,J) and poses (B,J,D) from images (B,C,H,W) in [0,1]."""
        poses = self.capsules(images)
        return functional.lengths(poses), poses

    def decode(self, poses: Tensor, label: Tensor) -> Tensor:
        """Return images (B,C,H,W) in [0,1] from poses (B,J,D) and the class (B,) whose capsule is drawn.

        With K classes each, label (B,K), every one is drawn by itself: (B,K,C,H,W).
        """
        if label.dim() == 2:
            poses = poses.repeat_interleave(label.shape[1], dim=0)  # (B*K,J,D)
        images: Tensor = self.decoder(poses, label.flatten())
        return images.view(*label.shape, *images.shape[1:])

    def forward(self, images: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return lengths, poses and the reconstruction from the capsule of `label`, by default the longest."""
        lengths, poses = self.encode(images)
        chosen = lengths.argmax(dim=1) if label is None else label
        return lengths, poses, self.decode(poses, chosen)

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of trainable parameters of the encoder and of the decoder."""
        total = sum(p.numel() for p in self.parameters())
        decoder = sum(p.numel() for p in self.decoder.parameters())
        return {"encoder": total - decoder, "decoder": decoder}


class GridCapsuleNetwork(CapsuleNetwork):
    """A network whose input capsules stand on a grid over the image, and are routed by agreement to the classes.

    A subclass defines `parts`, `grid` and the layer `digits`. So the votes for a class have positions in the image.
    """

    digits: DynamicRoutingCaps

    @property
    def grid(self) -> Grid:
        """Return the positions of the input capsules."""
        raise NotImplementedError

    def parts(self, images: Tensor) -> Tensor:
        """Return capsules (B,I,E) from images (B,C,H,W): row by row of the grid, and type by type at each position."""
        raise NotImplementedError

    def capsules(self, images: Tensor) -> Tensor:
        poses: Tensor = self.digits(self.parts(images))  # (B,J,D)
        return poses

    def history(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return couplings and agreements (B,T,J,I) and lengths (B,T,J) of each iteration, from images (B,C,H,W)."""
        return self.digits.history(self.parts(images))


def float32_squash(s: Tensor, squash: Callable[[Tensor], Tensor]) -> Tensor:
    """Squash in float32 also under autocast."""
    with torch.autocast(s.device.type, enabled=False):
        return squash(s.float())
