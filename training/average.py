"""An exponential moving average of a network's weights, kept beside it and validated in its place."""

import copy

import torch
from torch import Tensor

from model.layers import CapsuleNetwork


class MovingAverage:
    """Averaged copies of all weights and BatchNorm statistics.

    The decay rises with the steps done, min(decay, (1 + t) / (10 + t)), so that the first random weights are soon
    forgotten.
    """

    def __init__(self, network: CapsuleNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, source: CapsuleNetwork, step: int) -> None:
        """Move towards the weights after step `step`, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averaged, current = self.network.state_dict(), source.state_dict()
        floats = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_([averaged[n] for n in floats], [current[n] for n in floats], weight)
        for name in current.keys() - set(floats):
            averaged[name].copy_(current[name])

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over averaged weights saved before."""
        self.network.load_state_dict(tensors)
