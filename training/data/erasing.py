"""Erase a part of each image of a batch: a square patch, or a rectangle that random pixels fill."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

FILLED = 2**15  # random pixels of a rectangle at most; larger ones repeat them
# Share of the images that lose a rectangle, and its smallest area, a share. Its sides have this ratio at least, and the
# inverse at most.
SHARE, SMALLEST_AREA, NARROWEST = 0.5, 0.02, 0.3


def erase(images: Tensor, u: Tensor, side: int, *, inset: int = 0) -> Tensor:
    """Set one square patch of each image to zero, `inset` pixels or more from its edges; u (B,2) in [0,1) places it."""
    height, width = images.shape[2:]
    top = (inset + u[:, 0] * (height - side + 1 - 2 * inset)).long().view(-1, 1, 1, 1)
    left = (inset + u[:, 1] * (width - side + 1 - 2 * inset)).long().view(-1, 1, 1, 1)
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    return images.masked_fill(inside, 0.0)


def erase_randomly(
    images: Tensor, samples: Tensor, u: Tensor, largest: float, fill: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Replace one rectangle of half of the images (B,C,H,W) by random pixels.

    Parameters
    ----------
    images, samples
        (B,C,H,W) in [0,1], and the index (B,) of each in the data set.
    u
        (B,5) in [0,1): whether to erase, area, ratio of the sides, and position down and across.
    largest
        Largest share of the area; it is drawn evenly from 0.02 on, and the logarithm of the ratio evenly too.
    fill
        Returns numbers (n,count) in [0,1) for samples (n,).
    """
    chosen = (u[:, 0] < SHARE).nonzero()[:, 0]  # (n,)
    u, shape = u[chosen], images.shape[1:]
    height, width = shape[1:]
    area = (SMALLEST_AREA + u[:, 1] * (largest - SMALLEST_AREA)) * height * width  # (n,)
    ratio = torch.exp((u[:, 2] * 2 - 1) * -math.log(NARROWEST))
    tall = (area * ratio).sqrt().round().clamp(1, height)
    wide = (area / ratio).sqrt().round().clamp(1, width)
    top, left = (u[:, 3] * (height - tall + 1)).floor(), (u[:, 4] * (width - wide + 1)).floor()
    y, x = torch.arange(height, device=u.device), torch.arange(width, device=u.device)
    rows = (y >= top[:, None]) & (y < (top + tall)[:, None])  # (n,H)
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (n,W)
    inside = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)  # (n,1,H,W)
    count = math.prod(shape)
    pixels = fill(samples[chosen], min(count, FILLED))
    pixels = pixels.repeat(1, -(-count // pixels.shape[1]))[:, :count].view(-1, *shape)  # (n,C,H,W)
    erased = torch.where(inside, pixels, images[chosen])
    return images.index_copy(0, chosen, erased)
