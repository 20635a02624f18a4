"""Vary digits as the code of HVC (Byerly et al. 2021) and Efficient-CapsNet (Mazzia et al. 2021) does.

In this order: half of the images are rotated by a normal angle; each is shifted along both axes within its empty
margin, squeezed in width by one to seven pixels, and loses a patch of 4 x 4 pixels. The numbers are theirs. Here one
bilinear interpolation does the first three steps; there the squeeze interpolates again, with a Lanczos filter.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import keyed_random
from training.data.erasing import erase

# Uniform numbers of a sample: angle, whether to rotate, directions and amounts of the shifts, squeeze, offset, patch.
NUMBERS = 10
LARGEST_ANGLE = 30.0  # degrees
DEVIATION, MOST = 0.33, 0.9999  # of the normal amounts, and their largest
LARGEST_SQUEEZE = 0.25  # of the width
PATCH, INSET = 4, 3  # pixels; there 4 from the upper and left edge and 2 from the others


def augment_as_published(images: Tensor, samples: Tensor, *, seed: int, stream: int) -> Tensor:
    """Return varied copies of images (B,C,H,W) in [0,1] whose indices in the data set are samples (B,)."""
    u = keyed_random.uniform(seed, stream, samples, NUMBERS)  # (B,10) in [0,1)
    height, width = images.shape[2:]
    angle = torch.where(u[:, 1] < 0.5, 0.0, _normal(u[:, 0]) * math.radians(LARGEST_ANGLE))  # (B,)
    shift_x, shift_y = _shifts(images, angle, u)
    narrower = torch.floor(_normal(u[:, 6]).abs() * LARGEST_SQUEEZE * width) + 1  # pixels
    offset = torch.floor(narrower / 2) + torch.floor(_normal(u[:, 7]).abs() * 2)
    stretch = width / (width - narrower)
    # From a position in the result back to one in the image, both from the centre, in pixels.
    back_x = stretch * (width / 2 - offset) - width / 2 - shift_x
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack(
        [cos * stretch, -sin * height / width, (cos * back_x + sin * shift_y) * 2 / width], dim=1
    )
    bottom = torch.stack(
        [sin * stretch * width / height, cos, (sin * back_x - cos * shift_y) * 2 / height], dim=1
    )
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return erase(warped, u[:, 8:], PATCH, inset=INSET)


def _normal(u: Tensor) -> Tensor:
    """Map uniform numbers in [0,1) to normal ones of the published deviation, cut off below one."""
    z: Tensor = torch.special.ndtri(u.double() + 2.0**-25).float()
    return (z * DEVIATION).clamp(-MOST, MOST)


def _shifts(images: Tensor, angle: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole pixels (B,) to the right and down that keep the ink of the rotated images within the frame."""
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device).view(1, -1, 1) - (height - 1) / 2
    x = torch.arange(width, device=images.device).view(1, 1, -1) - (width - 1) / 2
    cos, sin = torch.cos(angle).view(-1, 1, 1), torch.sin(angle).view(-1, 1, 1)
    ink = (images > 0).any(dim=1)  # (B,H,W)
    shifts = []
    for position, size, first in ((cos * x + sin * y, width, 2), (cos * y - sin * x, height, 3)):
        # Where the pixel lies after the rotation, (B,H,W).
        position = position.expand_as(ink) + (size - 1) / 2
        before = position.masked_fill(~ink, size - 1.0).amin(dim=(1, 2)).floor().clamp(min=0)
        after = size - 1 - position.masked_fill(~ink, 0.0).amax(dim=(1, 2)).ceil().clamp(max=size - 1)
        amount = _normal(u[:, first + 2]).abs()
        shifts.append(
            torch.where(u[:, first] < 0.5, torch.floor(-amount * before), torch.floor(amount * (1 + after)))
        )
    return shifts[0], shifts[1]
