"""Measure the image of a stroke: its thickness, slant, width, height, area, length and position.

It follows Morpho-MNIST (Castro, Tan, Kainz, Konukoglu, Glocker 2019, "Morpho-MNIST: Quantitative Assessment and
Diagnostics for Representation Learning", JMLR 20, https://arxiv.org/abs/1809.10780): images are enlarged four times;
area, length and thickness come from the thresholded image and its skeleton, the rest from the grey one.

Legend: B images, H and W height and width in pixels, h and w four times as many.
"""

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d
from skimage.morphology import medial_axis
from skimage.transform import resize

SCALE = 4
BATCH = 100
# So small a share of an image's light at either end counts as a stray pixel and not as part of its extent.
TAIL = 0.01

# Each property with its unit, in the order of the columns of `measure`.
UNITS = {
    "thickness": "pixels",
    "slant": "radians, positive to the right",
    "width": "pixels",
    "height": "pixels",
    "area": "pixels",
    "length": "pixels",
    "horizontal shift": "pixels to the right of the middle",
    "vertical shift": "pixels below the middle",
}
PROPERTIES = tuple(UNITS)
# Properties of strokes alone: a garment has none.
STROKES = ("thickness", "length")


def measure(images: np.ndarray) -> np.ndarray:
    """Return the properties of images (B,H,W) in [0,1]: (B,P), in the units of `UNITS`.

    Width is that of the image sheared upright. An image without any light has no properties: its row is NaN.
    """
    lit = images.max(axis=(1, 2)) > 0
    rows = np.full((len(images), len(PROPERTIES)), np.nan)
    for part in np.array_split(np.flatnonzero(lit), max(1, lit.sum() // BATCH)):
        if len(part):
            grey = enlarge(images[part])  # (B,h,w)
            thickness, area, length = _stroke(grey)
            slant, width, height, across, down = _extent(grey)
            rows[part] = np.stack([thickness, slant, width, height, area, length, across, down], axis=1)
    return rows


def enlarge(images: np.ndarray) -> np.ndarray:
    """Enlarge images (B,H,W) four times and smooth them, (B,h,w), as `skimage.transform.pyramid_expand` does.

    Rows and columns are treated alike, so for many images a product with a matrix is much faster.
    """
    (down, smooth_y), (across, smooth_x) = (
        _enlarging(size) for size in images.shape[1:]
    )  # (h,H), (h,h), ...
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    large = np.clip(down @ images.astype(np.float64) @ across.T, low, high)
    smoothed: np.ndarray = smooth_y @ large @ smooth_x.T
    return smoothed


@lru_cache
def _enlarging(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cubic interpolation (h,H) and smoothing (h,h) along an axis of `size` pixels, as matrices."""
    up = [
        resize(row[:, None], (size * SCALE, 1), order=3, mode="reflect", clip=False)[:, 0]
        for row in np.eye(size)
    ]
    smooth = gaussian_filter1d(np.eye(size * SCALE), 2 * SCALE / 6, axis=0, mode="reflect")
    return np.stack(up, axis=1), smooth


def _stroke(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return thickness, area and length (B,) of the strokes in large images (B,h,w), in pixels of the small ones."""
    low, high = grey.min(axis=(1, 2), keepdims=True), grey.max(axis=(1, 2), keepdims=True)
    ink = np.pad(grey >= low + (high - low) / 2, ((0, 0), (1, 1), (1, 1)))  # a margin, so that no two touch
    # `medial_axis` makes its tables in each call, so all images go into one, below each other.
    skeleton, depth = medial_axis(ink.reshape(-1, ink.shape[2]), return_distance=True, rng=0)
    skeleton, depth = skeleton.reshape(ink.shape), depth.reshape(ink.shape)
    every = (1, 2)
    straight = (skeleton[:, 1:] & skeleton[:, :-1]).sum(every) + (skeleton[..., 1:] & skeleton[..., :-1]).sum(
        every
    )
    falling = (skeleton[:, 1:, 1:] & skeleton[:, :-1, :-1]).sum(every)
    rising = (skeleton[:, 1:, :-1] & skeleton[:, :-1, 1:]).sum(every)
    length = (straight + (falling + rising) * np.sqrt(2)) / SCALE
    thickness = 2 * (depth * skeleton).sum(every) / skeleton.sum(every) / SCALE
    return thickness, ink.sum(every) / SCALE**2, length


def _extent(grey: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return slant, width, height, and shift across and down, (B,) each, of large images (B,h,w), by moments."""
    y, x = np.mgrid[: grey.shape[1], : grey.shape[2]].astype(np.float64)  # y grows downwards
    light = grey / grey.sum(axis=(1, 2), keepdims=True)
    mean_y, mean_x = ((light * axis).sum(axis=(1, 2), keepdims=True) for axis in (y, x))
    shear = (light * (x - mean_x) * (y - mean_y)).sum(axis=(1, 2), keepdims=True)
    shear /= (light * (y - mean_y) ** 2).sum(axis=(1, 2), keepdims=True)
    middle_y, middle_x = (grey.shape[1] - 1) / 2, (grey.shape[2] - 1) / 2
    return (
        np.arctan(-shear).ravel(),
        _range((x - shear * (y - mean_y)).reshape(len(grey), -1), light.reshape(len(grey), -1)),
        _range(np.broadcast_to(y[:, 0], grey.shape[:2]), light.sum(axis=2)),
        (mean_x.ravel() - middle_x) / SCALE,
        (mean_y.ravel() - middle_y) / SCALE,
    )


def _range(positions: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return the distance (B,) that holds all light (B,N) at positions (B,N), except a tail on either side."""
    order = positions.argsort(axis=1)
    sorted_positions = np.take_along_axis(positions, order, axis=1)
    below = np.take_along_axis(light, order, axis=1).cumsum(axis=1)
    ends = [np.interp([TAIL, 1 - TAIL], b, p) for b, p in zip(below, sorted_positions, strict=True)]
    distances: np.ndarray = np.diff(ends, axis=1).ravel() / SCALE
    return distances
