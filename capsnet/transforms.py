"""Turn, slant, scale, thicken and shift images by amounts in degrees, per cent and pixels.

Amounts have the units of `PoseDirection` and of `POST /transform`. Pixels from outside an image are 0.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
# Strokes are thickened in images enlarged by this factor.
SCALE = 4


@dataclass(frozen=True)
class Property:
    """A property of an image that a transformation changes.

    `unit` is that of its amounts, and `words` name the effect of an amount above 0. Directions are measured up to
    `reach` on either side, and images are transformed by at most `limit`.
    """

    unit: str
    words: str
    reach: float
    limit: float


PROPERTIES: dict[str, Property] = {
    "rotation": Property("degrees", "turned clockwise", 15.0, 180.0),
    "slant": Property("degrees", "slanted to the right", 25.0, 60.0),
    "width": Property("per cent", "made wider", 24.0, 75.0),
    "height": Property("per cent", "made higher", 16.0, 75.0),
    "size": Property("per cent", "made larger in both directions", 16.0, 75.0),
    "weight": Property("pixels", "drawn with a thicker stroke", 1.0, 3.0),
    "shift_x": Property("pixels", "moved to the right", 2.0, 14.0),
    "shift_y": Property("pixels", "moved down", 2.0, 14.0),
}


def transform(images: Floats, name: str, amount: float) -> Floats:
    """Return images (N,C,H,W) in [0,1] with one of `PROPERTIES` changed by an amount in its unit."""
    if amount == 0:
        return images.astype(np.float32)
    if name == "weight":
        return thicken(images, amount)
    return warp(images, matrix(name, amount))


def transform_steps(image: Floats, name: str, amounts: Floats) -> Floats:
    """Return an image (C,H,W) transformed by each of amounts (S,), (S,C,H,W)."""
    return np.concatenate([transform(image[None], name, float(amount)) for amount in amounts])


def matrix(name: str, amount: float) -> NDArray[np.float64]:
    """Return the matrix (2,3) that moves a point (x,y,1), from the middle of the image, x to the right and y down."""
    factor = 1 + amount / 100
    if name == "rotation":
        cos, sin = math.cos(math.radians(amount)), math.sin(math.radians(amount))
        return np.array([[cos, -sin, 0], [sin, cos, 0]])
    if name == "slant":
        return np.array([[1, -math.tan(math.radians(amount)), 0], [0, 1, 0.0]])
    if name in ("shift_x", "shift_y"):
        return np.array([[1, 0, amount * (name == "shift_x")], [0, 1, amount * (name == "shift_y")]])
    return np.array([[1 if name == "height" else factor, 0, 0], [0, 1 if name == "width" else factor, 0]])


def warp(images: Floats, forward: NDArray[np.float64]) -> Floats:
    """Move the points of images (N,C,H,W) by a matrix (2,3), or by one each (N,2,3), with cubic interpolation."""
    forward = np.broadcast_to(forward, (len(images), 2, 3))
    height, width = images.shape[2:]
    middle = np.array([width / 2, height / 2])
    back = np.linalg.inv(forward[:, :, :2])  # (N,2,2): Pillow asks where each new point comes from
    start = middle - (back @ (middle + forward[:, :, 2])[:, :, None])[:, :, 0]  # (N,2)
    rows = np.concatenate([back, start[:, :, None]], axis=2).reshape(-1, 6).tolist()
    size, affine, cubic = (width, height), Image.Transform.AFFINE, Image.Resampling.BICUBIC
    moved = np.stack(
        [
            [np.asarray(Image.fromarray(plane).transform(size, affine, row, cubic)) for plane in image]
            for image, row in zip(images.astype(np.float32), rows, strict=True)
        ]
    )
    clipped: Floats = np.clip(moved, 0, 1)
    return clipped


def thicken(images: Floats, amount: float) -> Floats:
    """Make the strokes of images (N,C,H,W) thicker by so many pixels, or thinner where the amount is below 0.

    A pixel becomes the lightest of its neighbours, or the darkest. A stroke grows by half the amount on either side.
    Between whole radii in the enlarged image the result is linear.
    """
    large = enlarge(images)
    radius = abs(amount) / 2 * SCALE
    whole, part = int(radius), radius - int(radius)
    choose = np.maximum if amount > 0 else np.minimum
    change = (1 - part) * _spread(large, whole, choose) - large
    if part:
        change = change + part * _spread(large, whole + 1, choose)
    count, channels, height, width = images.shape
    small: Floats = change.reshape(count, channels, height, SCALE, width, SCALE).mean(axis=(3, 5))
    changed: Floats = np.clip(images + small, 0, 1).astype(np.float32)
    return changed


def enlarge(images: Floats) -> Floats:
    """Enlarge images (N,C,H,W) to (N,C,SCALE·H,SCALE·W), with cubic interpolation."""
    size = (images.shape[3] * SCALE, images.shape[2] * SCALE)
    cubic = Image.Resampling.BICUBIC
    return np.stack(
        [
            [np.asarray(Image.fromarray(plane).resize(size, cubic)) for plane in image]
            for image in images.astype(np.float32)
        ]
    )


def _spread(images: Floats, radius: int, choose: np.ufunc) -> Floats:
    """Return the extreme over a disc around each pixel of images (N,C,h,w)."""
    framed = np.pad(images, ((0, 0), (0, 0), (radius, radius), (radius, radius)))
    height, width = images.shape[2:]
    found = images
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            if 0 < x * x + y * y <= radius * radius:
                top, left = radius + y, radius + x
                found = choose(found, framed[:, :, top : top + height, left : left + width])
    return found
