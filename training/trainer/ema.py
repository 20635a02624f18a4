"""Keep an exponential moving average of a network's weights; it is validated in the network's place.

Before validation its BatchNorm statistics are recomputed. An augmented image is interpolated, so it is softer than the
images to classify, and the statistics of training do not fit these. On overlapping digits a quarter of the errors came
from that alone.

`torch.optim.swa_utils.AveragedModel` does not fit: its counter of steps is a tensor on the device, so a decay that
rises with the steps would wait for the GPU at each step (docs/log/project.md).
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from model.export.exporter import Encoder
from model.nn.layers import CapsuleNetwork


class MovingAverage:
    """Averaged copies of all weights and BatchNorm statistics.

    The decay rises with the steps t, min(decay, (1 + t) / (10 + t)), so that the initial random weights soon vanish, as
    in TensorFlow's `tf.train.ExponentialMovingAverage`.
    """

    def __init__(self, network: CapsuleNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, source: CapsuleNetwork, step: int) -> None:
        """Move the average towards the weights after step `step`, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averaged, current = self.network.state_dict(), source.state_dict()
        floats = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([averaged[n] for n in floats], [current[n] for n in floats], weight)
        for name in current.keys() - set(floats):
            averaged[name].copy_(current[name])

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Load averaged weights that were saved before."""
        self.network.load_state_dict(tensors)


def recompute_batchnorm(network: CapsuleNetwork, batches: Iterable[Tensor]) -> None:
    """Recompute a network's BatchNorm statistics from batches of images (B,C,H,W) that are not augmented."""
    update_bn(batches, Encoder(network).eval())
