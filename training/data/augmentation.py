"""Augment whole batches on the device: one affine and elastic warp a sample, then another pen, then a patch
erased, each where the policy asks for it.

Every random number comes from `training.data.keyed_random`, keyed by (seed, epoch, sample).
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import keyed_random
from training.data.erasing import erase, erase_randomly
from training.data.pen_strokes import draw_with_pen, eroded
from training.data.published_augmentation import augment_as_published

# Random streams of one epoch: order, warp, elastic field and scene must not share numbers.
STREAMS = 4
ORDER, WARP, ELASTIC, SCENE = range(STREAMS)
CONTROL = 5  # control points of the elastic field on each axis
NUMBERS = 10  # uniform numbers of a sample's warp, patch and pen
GEOMETRY, PATCH, PEN = slice(0, 6), slice(7, 9), slice(9, 10)
# Numbers of random erasing, after those; then one for each pixel to fill in, at most `erasing.FILLED`.
ERASING = slice(NUMBERS, NUMBERS + 6)
# Uniform numbers of a sample's brightness, and of the gain and offset of each of three channels; then of its colours.
LIGHT, COLOURS = 1 + 2 * 3, 2
THINNER = 0.6  # of the way to the smallest neighbour, at most: the whole way would remove a thin stroke


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a sample may be changed.

    Attributes
    ----------
    rotation
        Largest angle, in degrees, either way.
    scale
        Largest relative change of size, of each axis for itself.
    shear
        Largest horizontal shear, as a tangent.
    shift
        Largest shift on each axis, in pixels.
    elastic
        Standard deviation of the displacement of the control points of a smooth field, in pixels.
    stroke_width
        Largest change of a stroke's width: 1 is one pixel on each of its sides more, or 0.6 of one less.
    erase
        Side of one square patch set to zero, in pixels.
    erase_area
        Largest share of the area, from 0.02 on, of one rectangle of half of the samples that random pixels replace
        (Zhong et al. 2017, https://arxiv.org/abs/1708.04896).
    pen
        Share of the samples whose strokes a round tip draws again, each of a random width, unless a loop is filled.
    plain
        Share of the samples that are neither warped nor drawn with another pen.
    flip
        Mirror half of the samples left to right.
    gaussian
        Draw angle, scales, shear, shifts and stroke from a normal distribution that reaches the largest value at three
        standard deviations, instead of evenly: most samples change little, and a few much.
    light
        Largest change of the brightness of all channels together, as a share.
    tint
        Largest change of each channel for itself: of its contrast as a share, and of its level.
    any_colours
        Take half of the samples as negatives, and the channels in any order: for classes that differ in shape alone.
    mirrored_edges
        Continue an image beyond its edges by its mirror image, instead of by black.
    whole_pixels
        Shift by whole pixels, each number of them as likely, instead of by any part of one, which blurs.
    published
        Vary digits as the code of Efficient-CapsNet does; the other fields do not count.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    stroke_width: float = 0.0
    erase: int = 0
    erase_area: float = 0.0
    pen: float = 0.0
    plain: float = 0.0
    flip: bool = False
    gaussian: bool = False
    light: float = 0.0
    tint: float = 0.0
    any_colours: bool = False
    mirrored_edges: bool = False
    whole_pixels: bool = False
    published: bool = False


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "shift": Augmentation(shift=2.0),
    "whole-shift": Augmentation(shift=2.0, whole_pixels=True),  # the paper's
    "digits": Augmentation(rotation=15, scale=0.15, shear=0.15, shift=2.0, elastic=0.8),
    "handwriting": Augmentation(rotation=30, scale=0.3, shear=0.35, shift=4.0, elastic=0.5, gaussian=True),
    "handwriting-pens": Augmentation(
        rotation=30, scale=0.3, shear=0.35, shift=4.0, elastic=0.5, pen=0.25, gaussian=True
    ),
    "erased": Augmentation(
        rotation=30, scale=0.3, shear=0.35, shift=4.0, elastic=0.5, erase=4, gaussian=True
    ),
    "hands": Augmentation(
        rotation=30, scale=0.3, shear=0.35, shift=4.0, elastic=0.9, stroke_width=1.0, gaussian=True
    ),
    "gentle": Augmentation(rotation=7, scale=0.07, shear=0.07, shift=1.0, elastic=0.4),
    "pens": Augmentation(rotation=7, scale=0.07, shear=0.07, shift=1.0, elastic=0.4, pen=0.25),
    "shift-flip": Augmentation(shift=2.0, flip=True),
    "clothes": Augmentation(rotation=5, scale=0.08, shift=2.0, erase=6, flip=True),
    "gentle-clothes": Augmentation(rotation=2, scale=0.04, shift=1.0, flip=True),
    "erased-clothes": Augmentation(rotation=5, scale=0.08, shift=2.0, erase_area=0.4, flip=True),
    # Shifts by whole pixels keep the weave of a cloth sharp; every other warp interpolates.
    "whole-clothes": Augmentation(shift=2.0, whole_pixels=True, erase_area=0.4, flip=True),
    "whole-shift-flip": Augmentation(shift=2.0, whole_pixels=True, flip=True),
    "gentle-whole-clothes": Augmentation(shift=1.0, whole_pixels=True, flip=True),
    "half-handwriting": Augmentation(
        rotation=30, scale=0.3, shear=0.35, shift=4.0, elastic=0.5, gaussian=True, plain=0.5
    ),
    "photos": Augmentation(rotation=10, scale=0.15, shear=0.1, shift=2.0, flip=True),
    "published": Augmentation(published=True),
    # For few own images. None is mirrored: an arrow to the left is not one to the right.
    "own-drawings": Augmentation(
        rotation=15, scale=0.15, shear=0.15, shift=2.0, elastic=0.4, stroke_width=0.5
    ),
    "own-photos": Augmentation(
        rotation=12, scale=0.2, shear=0.1, shift=6.0, light=0.25, tint=0.2, mirrored_edges=True
    ),
    "own-shapes": Augmentation(
        rotation=12,
        scale=0.2,
        shear=0.1,
        shift=6.0,
        light=0.25,
        tint=0.3,
        any_colours=True,
        mirrored_edges=True,
    ),
}


def augment(images: Tensor, samples: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Tensor:
    """Return warped copies of images (B,C,H,W) in [0,1] whose indices in the data set are samples (B,)."""
    if policy == Augmentation():
        return images
    if policy.published:
        return augment_as_published(images, samples, seed=seed, stream=epoch * STREAMS + WARP)
    return _augment(images, samples, policy, seed, epoch)


def _augment(images: Tensor, samples: Tensor, policy: Augmentation, seed: int, epoch: int) -> Tensor:
    u = keyed_random.uniform(seed, epoch * STREAMS + WARP, samples, NUMBERS) * 2 - 1  # (B,10) in [-1,1)
    if policy.gaussian:
        u[:, GEOMETRY], u[:, PEN] = gaussian(u[:, GEOMETRY]), gaussian(u[:, PEN])
    grid = warp_grid(images, u, policy)  # (B,H,W,2)
    if policy.elastic:
        grid = grid + elastic_field(images, samples, policy, seed=seed, epoch=epoch)
    edges = "reflection" if policy.mirrored_edges else "zeros"
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode=edges, align_corners=False)
    warped = change_colours(warped, samples, policy, seed=seed, epoch=epoch)
    if policy.stroke_width:
        warped = change_stroke_width(warped, u[:, PEN] * policy.stroke_width)
    if policy.pen:
        warped = draw_some(warped, samples, policy.pen, seed=seed, epoch=epoch)
    if policy.plain or policy.erase_area:
        more = keyed_random.uniform(seed, epoch * STREAMS + WARP, samples, ERASING.stop)[
            :, ERASING
        ]  # (B,6) in [0,1)
    if policy.plain:
        warped = torch.where((more[:, 0] < policy.plain).view(-1, 1, 1, 1), images, warped)
    if policy.erase:
        warped = erase(warped, (u[:, PATCH] + 1) / 2, policy.erase)
    if policy.erase_area:
        fill = partial(_random_pixels, seed, epoch * STREAMS + WARP)
        warped = erase_randomly(warped, samples, more[:, 1:], policy.erase_area, fill)
    return warped


def gaussian(u: Tensor) -> Tensor:
    """Map uniform numbers in [-1,1) to normal ones whose third standard deviation is at 1, and clip them there."""
    z: Tensor = torch.special.ndtri((u + 1).double() / 2 + 2.0**-26)
    return z.clamp(-3, 3).float() / 3


def warp_grid(images: Tensor, u: Tensor, policy: Augmentation) -> Tensor:
    """Return sampling positions (B,H,W,2), x before y, in [-1,1], for random numbers u (B,10) in [-1,1)."""
    height, width = images.shape[2:]
    angle = u[:, 0] * math.radians(policy.rotation)
    scale_x, scale_y = torch.exp(u[:, 1:3] * math.log1p(policy.scale)).unbind(1)
    if policy.flip:
        scale_x = scale_x * torch.where(u[:, 6] < 0, -1.0, 1.0)
    shear = u[:, 3] * policy.shear
    shifts = u[:, 4:6] * policy.shift  # (B,2) in pixels
    if policy.whole_pixels:
        shifts = (u[:, 4:6] * (policy.shift + 0.5)).round()
    shift_x, shift_y = (shifts * 2 / torch.tensor([width, height], device=shifts.device)).unbind(1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack([cos * scale_x, (shear * cos - sin) * scale_y, shift_x], dim=1)
    bottom = torch.stack([sin * scale_x, (shear * sin + cos) * scale_y, shift_y], dim=1)
    theta = torch.stack([top, bottom], dim=1)  # (B,2,3)
    return F.affine_grid(theta, list(images.shape), align_corners=False)


def elastic_field(images: Tensor, samples: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Tensor:
    """Return smooth random displacements (B,H,W,2): interpolated control points (after Simard et al. 2003)."""
    height, width = images.shape[2:]
    coarse = keyed_random.normal(seed, epoch * STREAMS + ELASTIC, samples, 2 * CONTROL * CONTROL)
    field = F.interpolate(
        coarse.view(-1, 2, CONTROL, CONTROL), (height, width), mode="bicubic", align_corners=True
    )  # (B,2,H,W)
    pixels = torch.tensor([2 / width, 2 / height], device=images.device)
    return field.permute(0, 2, 3, 1) * pixels * policy.elastic


def change_stroke_width(images: Tensor, change: Tensor) -> Tensor:
    """Draw bright strokes wider or finer: move each pixel towards its largest or smallest neighbour.

    Parameters
    ----------
    images
        (B,C,H,W) in [0,1].
    change
        (B,1) in [-1,1]: above 0 the share of the way to the largest of the 3 x 3 pixels around, below 0 to the
        smallest of them, of which 0.6 is taken at most.
    """
    change = change.view(-1, 1, 1, 1)
    wide = F.max_pool2d(images, 3, stride=1, padding=1)
    fine = eroded(images)
    return images + change.clamp(min=0) * (wide - images) + THINNER * change.clamp(max=0) * (images - fine)


def draw_some(images: Tensor, samples: Tensor, share: float, *, seed: int, epoch: int) -> Tensor:
    """Return images (B,1,H,W) of which a share is drawn again with a pen."""
    field = 2 * CONTROL * CONTROL  # numbers of the stream that the elastic field takes
    u = keyed_random.uniform(seed, epoch * STREAMS + ELASTIC, samples, field + 2)[:, field:]  # (B,2)
    chosen = (u[:, 0] < share).nonzero()[:, 0]  # (n,)
    return (
        images.index_copy(0, chosen, draw_with_pen(images[chosen], u[chosen, 1])) if len(chosen) else images
    )


def change_colours(images: Tensor, samples: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Tensor:
    """Return images (B,C,H,W) in the colours and the light that the policy asks for; C is 3 at most."""
    if not (policy.light or policy.tint or policy.any_colours):
        return images
    # The stream of scenes: data sets of scenes never change colours.
    u = (
        keyed_random.uniform(seed, epoch * STREAMS + SCENE, samples, LIGHT + COLOURS) * 2 - 1
    )  # (B,9) in [-1,1)
    if policy.any_colours:
        images = recolour(images, u[:, LIGHT:])
    return relight(images, u[:, :LIGHT], policy)


def recolour(images: Tensor, u: Tensor) -> Tensor:
    """Return half of the images (B,C,H,W) as negatives, and their channels in any order, for numbers u (B,2) in [-1,1).

    The order is one of the C! orders, each as likely.
    """
    orders = torch.tensor(list(permutations(range(images.shape[1]))), device=images.device)  # (C!,C)
    order = orders[((u[:, 1] + 1) / 2 * len(orders)).long().clamp(max=len(orders) - 1)]  # (B,C)
    mixed = images.gather(1, order[:, :, None, None].expand_as(images))
    return torch.where((u[:, 0] < 0).view(-1, 1, 1, 1), 1 - mixed, mixed)


def relight(images: Tensor, u: Tensor, policy: Augmentation) -> Tensor:
    """Return images (B,C,H,W) in another light, for random numbers u (B,7) in [-1,1); C is 3 at most."""
    channels = images.shape[1]
    gain = (1 + policy.light * u[:, :1]) * (1 + policy.tint * u[:, 1 : 1 + channels])  # (B,C)
    level = policy.tint / 2 * u[:, 4 : 4 + channels]  # (B,C)
    return (images * gain[:, :, None, None] + level[:, :, None, None]).clamp(0, 1)


def _random_pixels(seed: int, stream: int, samples: Tensor, count: int) -> Tensor:
    """Return numbers (n,count) in [0,1) for samples (n,), behind those that other steps draw."""
    return keyed_random.uniform(seed, stream, samples, ERASING.stop + count)[:, ERASING.stop :]
