"""Draw strokes again with a pen: thin them to their centre lines, and let a round tip follow these.

A row of MNIST shows strokes of uneven width. A felt pen or a drawing program draws them with one width, and people send
such images. `benchmarks.preprocessing.pen` judges with thinning of its own, and a test holds the two equal.
Legend: B batch, H height, W width, F fine pixels for each pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FINE = 2  # fine pixels for each pixel: strokes of two pixels have a middle
INSIDE = 0.43  # the level at which a row's strokes have their width
TIPS = (0.7, 1.5)  # smallest and largest half width of a tip, in pixels
REACH = 4  # fine pixels from the centre line, at most: FINE * TIPS[1], rounded up


def draw_with_pen(images: Tensor, tips: Tensor) -> Tensor:
    """Return images (B,C,H,W) in [0,1] drawn again, each channel by itself.

    The tips (B,) are numbers in [0,1), from the finest to the widest.
    """
    planes = images.flatten(0, 1).unsqueeze(1)  # (BC,1,H,W)
    fine = F.interpolate(planes, scale_factor=FINE, mode="bicubic", align_corners=False)  # (BC,1,FH,FW)
    radii = FINE * (TIPS[0] + tips * (TIPS[1] - TIPS[0]))
    drawn = _followed(thinned(fine > INSIDE), radii.repeat_interleave(images.shape[1]))
    soft = F.avg_pool2d(drawn, 3, stride=1, padding=1)
    return F.avg_pool2d(soft, FINE).view_as(images)


def thinned(strokes: Tensor) -> Tensor:
    """Return lines one pixel wide along strokes, both bool (B,1,H,W).

    Zhang and Suen (1984), "A fast parallel algorithm for thinning digital patterns": pixels of the rim go, in two
    half-steps, where no line breaks.
    """
    while True:
        before = strokes
        for first in (True, False):
            strokes = strokes & ~_removable(strokes, first)
        if torch.equal(strokes, before):
            return strokes


def _removable(strokes: Tensor, first: bool) -> Tensor:
    """Return the pixels of the rim that can go; `first` names the half-step."""
    height, width = strokes.shape[-2:]
    padded = F.pad(strokes, (1, 1, 1, 1))
    around = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))  # clockwise from the north
    ring = torch.cat([padded[:, :, y : y + height, x : x + width] for y, x in around], dim=1)  # (B,8,H,W)
    neighbours = ring.sum(dim=1, keepdim=True, dtype=torch.uint8)
    rises = (~ring & ring.roll(-1, dims=1)).sum(dim=1, keepdim=True, dtype=torch.uint8)
    north, east, south, west = (ring[:, side : side + 1] for side in (0, 2, 4, 6))  # each (B,1,H,W)
    free = ~(north & east & south) & ~(east & south & west)
    if not first:
        free = ~(north & east & west) & ~(north & south & west)
    removable: Tensor = (neighbours >= 2) & (neighbours <= 6) & (rises == 1) & free
    return removable


def _followed(lines: Tensor, radii: Tensor) -> Tensor:
    """Return what discs of radii (B,) cover along lines (B,1,H,W): 1.0 or 0.0."""
    steps = torch.arange(-REACH, REACH + 1, device=lines.device)
    distance = torch.hypot(steps[:, None].float(), steps[None, :].float())  # (K,K)
    discs = (distance <= radii.view(-1, 1, 1)).float().unsqueeze(1)  # (B,1,K,K)
    covering = F.conv2d(lines.float().transpose(0, 1), discs, padding=REACH, groups=len(lines))  # (1,B,H,W)
    return (covering > 0.5).float().transpose(0, 1)
