"""Compose scenes: images of a data set in a larger frame, one alone or two of different classes overlaid.

MultiMNIST, and the translated and affine-transformed digits of Sabour, Frosst, Hinton 2017
(https://arxiv.org/abs/1710.09829, sections 5.2 and 5.3), are scenes. They are never stored for training: each epoch
makes its own, whole batches at a time on the device. Every random number comes from `keyed_random`,
keyed by (seed, epoch, sample).

Legend: N images of the data set, B scenes, K objects in each, C channels, H height, W width, S side of the frame.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import keyed_random
from training.data.augmentation import SCENE, STREAMS, Augmentation, augment

# Added to the sample index as the key of the second object's warp: no data set has such an index.
NEXT_OBJECT = 2**28
# Fainter pixels do not count as ink: half a grey level.
FAINTEST_INK = 0.5 / 255
# Scenes that are made at a time for a whole data set.
CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Affine:
    """How far each object of a scene is transformed, evenly either way: rotation in degrees, shear as a tangent, and
    the relative change of size of each axis. With `exact`, every object is transformed by exactly these values.
    """

    rotation: float
    shear: float
    scale: float
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class CompositionSpec:
    """How a scene is made from images of a data set.

    Attributes
    ----------
    side
        Height and width of the frame, in pixels; not smaller than the images.
    shift
        Largest shift of each object from the middle of the frame, either way on each axis, in whole pixels; None for
        anywhere within the frame. A transformed object is shifted less where its ink would leave the frame.
    objects
        1, or 2 of different classes whose light is added up and clipped at 1.
    affine
        A transformation of each object that is a part of the data set, not of its augmentation.
    """

    side: int
    shift: int | None
    objects: int = 1
    affine: Affine | None = None


class Batch(NamedTuple):
    """What a network learns from: images, labels, and the parts of each image.

    `images` (B,C,S,S) in [0,1]; `labels` (B,K), the classes in each; `parts` (B,K,C,S,S), each object alone, as its
    capsule should draw it.
    """

    images: Tensor
    labels: Tensor
    parts: Tensor


class SceneComposer:
    """Makes scenes from images of a data set.

    Parameters
    ----------
    scene
        How a scene is made.
    images
        uint8 (N,C,H,W).
    labels, samples
        (N,) the class of each, and its index in the published file, the key of its random numbers.
    """

    def __init__(self, scene: CompositionSpec, images: Tensor, labels: Tensor, samples: Tensor) -> None:
        self.scene, self.images, self.labels, self.samples = scene, images, labels, samples
        self._by_class = labels.argsort(stable=True)  # (N,) rows
        self._counts = labels.bincount()  # (J,)
        self._starts = self._counts.cumsum(0) - self._counts  # (J,) where each class begins in the rows

    def compose(self, rows: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Batch:
        """Return scenes whose first objects are the images in rows (B,).

        Each object is warped as `policy` says before it is laid into the frame; its shift is the scene's alone.
        """
        scene, samples = self.scene, self.samples[rows]
        u = keyed_random.uniform(seed, epoch * STREAMS + SCENE, samples, 1 + 6 * scene.objects)
        offsets, changes = torch.split(
            u[:, 1:], [2 * scene.objects, 4 * scene.objects], dim=1
        )  # (B,2K), (B,4K)
        chosen = rows.unsqueeze(1)  # (B,1)
        if scene.objects == 2:
            chosen = torch.stack([rows, self._others(rows, u[:, 0])], dim=1)  # (B,2)
        keys = samples.unsqueeze(1) + NEXT_OBJECT * torch.arange(scene.objects, device=rows.device)  # (B,K)
        framed = self._framed(chosen.flatten())  # (B*K,C,S,S)
        warped = augment(framed, keys.flatten(), replace(policy, shift=0.0), seed=seed, epoch=epoch)
        if scene.affine is not None:
            reach = torch.ones_like(changes) if scene.affine.exact else changes * 2 - 1
            warped = transformed(warped, reach.reshape(-1, 4), scene.affine)
        moved = shifted(warped, self._shifts(warped, offsets.reshape(-1, 2)))
        parts = moved.view(*chosen.shape, *moved.shape[1:])  # (B,K,C,S,S)
        return Batch(parts.sum(dim=1).clamp(max=1), self.labels[chosen], parts)

    def compose_all(self, *, seed: int, epoch: int) -> Batch:
        """Return one unwarped scene for each image of the data set, on its device; images and parts are uint8."""
        rows = torch.arange(len(self.labels), device=self.labels.device)
        made = [
            self.compose(part, Augmentation(), seed=seed, epoch=epoch) for part in torch.split(rows, CHUNK)
        ]
        images, labels, parts = zip(
            *((to_bytes(each.images), each.labels, to_bytes(each.parts)) for each in made), strict=True
        )
        return Batch(torch.cat(images), torch.cat(labels), torch.cat(parts))

    def _shifts(self, objects: Tensor, u: Tensor) -> Tensor:
        """Return the shifts (B*K,2) of objects (B*K,C,S,S), for random numbers u (B*K,2) in [0,1)."""
        if self.scene.shift is None:
            low, high = free_shifts(objects)
            return (u * (high - low + 1)).long() + low
        shifts = (u * (2 * self.scene.shift + 1)).long() - self.scene.shift
        return shifts if self.scene.affine is None else shifts.clamp(*free_shifts(objects))

    def _others(self, rows: Tensor, u: Tensor) -> Tensor:
        """Return a row of another class for each of rows (B,), all equally likely, for random u (B,) in [0,1)."""
        label = self.labels[rows]
        own, start = self._counts[label], self._starts[label]
        index = (u.double() * (len(self.labels) - own)).long()
        return self._by_class[index + own * (index >= start)]

    def _framed(self, rows: Tensor) -> Tensor:
        """Return images (B,C,S,S) in [0,1], each in the middle of the frame."""
        images = self.images[rows].float() / 255
        down, right = self.scene.side - images.shape[2], self.scene.side - images.shape[3]
        return F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))


def transformed(images: Tensor, u: Tensor, affine: Affine) -> Tensor:
    """Scale, shear and rotate images (B,C,S,S) about their middle, as far as u (B,4) in [-1,1) says."""
    angle = u[:, 0] * math.radians(affine.rotation)
    shear = u[:, 1] * affine.shear
    scale_x, scale_y = (1 + u[:, 2:] * affine.scale).unbind(dim=1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The inverse, which says where each pixel comes from: rotated back, sheared back, then scaled back.
    across = torch.stack([cos + shear * sin, sin - shear * cos], dim=1) / scale_x.unsqueeze(1)
    down = torch.stack([-sin, cos], dim=1) / scale_y.unsqueeze(1)
    theta = F.pad(torch.stack([across, down], dim=1), (0, 1))  # (B,2,3), without a shift
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def free_shifts(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest shift (B,2), down and right, that keep all ink of images (B,C,S,S) inside."""
    ink = (images > FAINTEST_INK).any(dim=1)  # (B,S,S)
    lows, highs = [], []
    for axis in (2, 1):
        lines = ink.any(dim=axis).long()  # (B,S): rows, then columns
        lows.append(-lines.argmax(dim=1))
        highs.append(lines.flip(1).argmax(dim=1))
    return torch.stack(lows, dim=1), torch.stack(highs, dim=1)


def shifted(images: Tensor, shifts: Tensor) -> Tensor:
    """Move images (B,C,H,W) down and right by whole pixels (B,2), and fill with zeros."""
    for axis in (2, 3):
        positions = (
            torch.arange(images.shape[axis], device=images.device) - shifts[:, axis - 2, None]
        )  # (B,H)
        inside = (positions >= 0) & (positions < images.shape[axis])
        view = (-1, 1, positions.shape[1], 1) if axis == 2 else (-1, 1, 1, positions.shape[1])
        source = positions.clamp(0, images.shape[axis] - 1).view(view).expand_as(images)
        images = images.gather(axis, source) * inside.view(view)
    return images


def to_bytes(images: Tensor) -> Tensor:
    """Convert images in [0,1] to uint8."""
    return (images * 255).round().to(torch.uint8)
