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
REACH = 6  # fine pixels from the centre line, at most: the widest tip and the widest usual stroke
BESIDE = 1.2  # usual half widths of a stroke: ink farther from the centre line is not part of a line
UNDRAWN = 0.02  # share of the ink, above which a row with such pieces stays as it is


def draw_with_pen(images: Tensor, tips: Tensor) -> Tensor:
    """Return images (B,C,H,W) in [0,1] drawn again, each channel by itself.

    A channel stays as it is where the lines leave out a piece of its ink: an 8 with a filled loop would become a 9.
    The tips (B,) are numbers in [0,1), from the finest to the widest.
    """
    planes = images.flatten(0, 1).unsqueeze(1)  # (BC,1,H,W)
    fine = F.interpolate(planes, scale_factor=FINE, mode="bicubic", align_corners=False)  # (BC,1,FH,FW)
    radii = FINE * (TIPS[0] + tips * (TIPS[1] - TIPS[0]))
    strokes = fine > INSIDE
    lines = thinned(strokes)
    soft = F.avg_pool2d(_followed(lines, radii.repeat_interleave(images.shape[1])), 3, stride=1, padding=1)
    drawn = torch.where(_leaves_out(lines, strokes), planes, F.avg_pool2d(soft, FINE))
    return drawn.view_as(images)


def eroded(images: Tensor) -> Tensor:
    """Return the smallest of the 3 x 3 pixels around each pixel of images (B,C,H,W)."""
    return -F.max_pool2d(-images, 3, stride=1, padding=1)


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


def _leaves_out(lines: Tensor, strokes: Tensor) -> Tensor:
    """Return whether lines leave out a piece of strokes, both bool (B,1,H,W): bool (B,1,1,1)."""
    usual = _half_widths(strokes).masked_fill(~lines, torch.nan).flatten(1).nanmedian(dim=1).values  # (B,)
    beyond = strokes & (_followed(lines, BESIDE * usual) == 0)
    # Opened by 3 x 3 pixels: the rims of a stroke that is a little wider than usual are no piece.
    pieces = F.max_pool2d(eroded(beyond.float()), 3, stride=1, padding=1).sum(dim=(1, 2, 3))
    share: Tensor = pieces / strokes.sum(dim=(1, 2, 3)).clamp(min=1)
    return (share > UNDRAWN).view(-1, 1, 1, 1)


def _half_widths(strokes: Tensor) -> Tensor:
    """Return how many pixels of strokes, bool (B,1,H,W), lie between each pixel and the rim, itself counted."""
    left, depths = strokes.float(), strokes.float()
    for _ in range(REACH):
        left = eroded(left)
        depths = depths + left
    return depths


def _followed(lines: Tensor, radii: Tensor) -> Tensor:
    """Return what discs of radii (B,) cover along lines (B,1,H,W): 1.0 or 0.0."""
    steps = torch.arange(-REACH, REACH + 1, device=lines.device)
    distance = torch.hypot(steps[:, None].float(), steps[None, :].float())  # (K,K)
    discs = (distance <= radii.view(-1, 1, 1)).float().unsqueeze(1)  # (B,1,K,K)
    covering = F.conv2d(lines.float().transpose(0, 1), discs, padding=REACH, groups=len(lines))  # (1,B,H,W)
    return (covering > 0.5).float().transpose(0, 1)
