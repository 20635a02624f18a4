"""Locate the evidence for a class: cover one patch of the image at a time, and measure how much the capsule shortens.

After Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, section 4.2. It needs only outputs of the network, so it
works for every architecture. It does not show how capsules were routed.

Legend: C channels, H height, W width, N patches, R and K rows and columns of patches.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# Side of a patch, and the step to the next one, as shares of the image's side: 6 and 2 pixels of 28.
PATCH, STRIDE = 6 / 28, 2 / 28


def corners(size: int, patch: int, stride: int) -> list[int]:
    """Return where patches begin along a side; the first touches one edge, and the last the other."""
    return sorted({*range(0, size - patch, stride), size - patch})


def sizes(height: int, width: int) -> tuple[int, int]:
    """Return the side of a patch and the stride, in pixels, for images of a size."""
    side = min(height, width)
    return max(2, round(PATCH * side)), max(1, round(STRIDE * side))


def covered(image: Floats, patch: int, stride: int) -> Floats:
    """Return copies (N,C,H,W) of an image (C,H,W), each with one patch covered by the median of its channels."""
    tops, lefts = (corners(side, patch, stride) for side in image.shape[1:])
    copies = np.repeat(image[None], len(tops) * len(lefts), axis=0)
    shade = np.median(image, axis=(1, 2))[:, None, None]
    for index, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        copies[index, :, top : top + patch, left : left + patch] = shade
    return copies


def heat(falls: Floats, shape: tuple[int, int], patch: int, stride: int) -> Floats:
    """Return for each pixel (H,W) the mean of `falls` (N,) over the patches that cover it."""
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    tops, lefts = (corners(side, patch, stride) for side in shape)
    for fall, (top, left) in zip(falls, ((top, left) for top in tops for left in lefts), strict=True):
        total[top : top + patch, left : left + patch] += fall
        count[top : top + patch, left : left + patch] += 1
    return total / count


def overlay(image: Floats, values: Floats, most: float | None = None) -> Floats:
    """Draw heat (H,W) over an image (C,H,W) in grey, (3,H,W): orange supports the class, blue speaks against it.

    `most` is the heat of the full colour; by default the largest of the values.
    """
    most = float(np.abs(values).max()) if most is None else most
    strength = np.abs(values) / max(most, 1e-9)  # (H,W)
    orange, blue = np.array([1, 0.55, 0.1]), np.array([0.25, 0.5, 1])
    tone = np.where(values[..., None] > 0, orange, blue)  # (H,W,3)
    grey = 0.65 * image.mean(axis=0)[..., None]
    mixed = grey * (1 - 0.75 * strength[..., None]) + 0.75 * strength[..., None] * tone
    drawn: Floats = np.clip(mixed, 0, 1).transpose(2, 0, 1).astype(np.float32)
    return drawn


def deletions(image: Floats, order: NDArray[np.int64], side: int) -> Floats:
    """Return copies (N,C,H,W) of an image (C,H,W), each with one more tile of a grid covered, in the order (N,)."""
    columns = -(-image.shape[2] // side)
    shade = np.median(image, axis=(1, 2))[:, None, None]
    now, copies = image.copy(), []
    for tile in order.tolist():
        top, left = divmod(tile, columns)
        now[:, top * side : (top + 1) * side, left * side : (left + 1) * side] = shade
        copies.append(now.copy())
    return np.stack(copies)


def tiles(values: Floats, side: int) -> Floats:
    """Return the mean of values (H,W) over each tile of a grid, row by row, (N,)."""
    height, width = values.shape
    return np.array(
        [
            values[top : top + side, left : left + side].mean()
            for top in range(0, height, side)
            for left in range(0, width, side)
        ],
        np.float32,
    )
