"""Scenes: images of a data set laid into a larger frame, one alone or two of different classes over each other.

MultiMNIST and the translated digits of Sabour, Frosst, Hinton 2017 (https://arxiv.org/abs/1710.09829, sections 5.2 and
6) are scenes. They are never stored for training: each epoch makes its own, whole batches at a time on the device.
Every random number comes from `training.draws`, keyed by (seed, epoch, sample).

Legend: N images of the data set, B scenes, K objects in each, C channels, H height, W width, S side of the frame.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training import draws
from training.augment import SCENE, STREAMS, Augmentation, augment

# What is warped of an object after the first is keyed by a sample that no data set has.
NEXT_OBJECT = 2**28
# Scenes of a whole data set are made so many at a time.
CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How an image is made of a data set's own.

    Attributes
    ----------
    side
        Height and width of the frame, in pixels; not smaller than the images.
    shift
        Largest shift of each object from the middle of the frame, either way on each axis, in whole pixels.
    objects
        1, or 2 of different classes whose light is added up and clipped at 1.
    """

    side: int
    shift: int
    objects: int = 1


class Examples(NamedTuple):
    """What a network learns from.

    `images` (B,C,S,S) in [0,1]; `labels` (B,K), the classes in each; `parts` (B,K,C,S,S), each object alone, as its
    capsule should draw it.
    """

    images: Tensor
    labels: Tensor
    parts: Tensor


class Composer:
    """Makes scenes of a data set's images.

    Parameters
    ----------
    scene
        How.
    images
        uint8 (N,C,H,W).
    labels, samples
        (N,) the class of each, and its index in the published file, which its random numbers are keyed by.
    """

    def __init__(self, scene: Scene, images: Tensor, labels: Tensor, samples: Tensor) -> None:
        self.scene, self.images, self.labels, self.samples = scene, images, labels, samples
        self._by_class = labels.argsort(stable=True)  # (N,) rows
        self._counts = labels.bincount()  # (J,)
        self._starts = self._counts.cumsum(0) - self._counts  # (J,) where each class begins in the rows

    def compose(self, rows: Tensor, policy: Augmentation, *, seed: int, epoch: int) -> Examples:
        """Scenes whose first objects are the images in rows (B,).

        Each object is warped as `policy` says before it is laid into the frame; its shift is the scene's alone.
        """
        scene, samples = self.scene, self.samples[rows]
        u = draws.uniform(seed, epoch * STREAMS + SCENE, samples, 1 + 2 * scene.objects)
        chosen = rows.unsqueeze(1)  # (B,1)
        if scene.objects == 2:
            chosen = torch.stack([rows, self._others(rows, u[:, 0])], dim=1)  # (B,2)
        keys = samples.unsqueeze(1) + NEXT_OBJECT * torch.arange(scene.objects, device=rows.device)  # (B,K)
        framed = self._framed(chosen.flatten())  # (B*K,C,S,S)
        warped = augment(framed, keys.flatten(), replace(policy, shift=0.0), seed=seed, epoch=epoch)
        shifts = (u[:, 1:] * (2 * scene.shift + 1)).long() - scene.shift  # (B,2K)
        parts = shifted(warped, shifts.reshape(-1, 2)).unflatten(0, chosen.shape)  # (B,K,C,S,S)
        return Examples(parts.sum(dim=1).clamp(max=1), self.labels[chosen], parts)

    def compose_all(self, *, seed: int, epoch: int) -> Examples:
        """One unwarped scene for each image of the data set, on its device; images and parts are uint8."""
        rows = torch.arange(len(self.labels), device=self.labels.device)
        made = [self.compose(part, Augmentation(), seed=seed, epoch=epoch) for part in rows.split(CHUNK)]
        images, labels, parts = zip(
            *((_bytes(each.images), each.labels, _bytes(each.parts)) for each in made), strict=True
        )
        return Examples(torch.cat(images), torch.cat(labels), torch.cat(parts))

    def _others(self, rows: Tensor, u: Tensor) -> Tensor:
        """A row of another class for each of rows (B,), all of them as likely, by random numbers u (B,) in [0,1)."""
        label = self.labels[rows]
        own, start = self._counts[label], self._starts[label]
        place = (u.double() * (len(self.labels) - own)).long()
        return self._by_class[place + own * (place >= start)]

    def _framed(self, rows: Tensor) -> Tensor:
        """Images (B,C,S,S) in [0,1], each in the middle of the frame."""
        images = self.images[rows].float() / 255
        down, right = self.scene.side - images.shape[2], self.scene.side - images.shape[3]
        return F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))


def shifted(images: Tensor, shifts: Tensor) -> Tensor:
    """Images (B,C,H,W) moved down and right by whole pixels (B,2); what comes in from outside is zero."""
    for axis in (2, 3):
        places = torch.arange(images.shape[axis], device=images.device) - shifts[:, axis - 2, None]  # (B,H)
        inside = (places >= 0) & (places < images.shape[axis])
        view = (-1, 1, places.shape[1], 1) if axis == 2 else (-1, 1, 1, places.shape[1])
        source = places.clamp(0, images.shape[axis] - 1).view(view).expand_as(images)
        images = images.gather(axis, source) * inside.view(view)
    return images


def _bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)
