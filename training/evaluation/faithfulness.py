"""Is what occlusion ranks first evidence? Cover the inked tiles of images in that order and in random ones.

Legend: B images, C channels, H height, W width.
"""

from dataclasses import dataclass

import numpy as np

from capsnet import occlusion
from capsnet.onnx_model import Model

# Side of a tile in pixels, orders that are random for each image, and the mean light of a tile that has ink.
TILE, RANDOM, INK = 4, 6, 0.05


@dataclass(frozen=True)
class Faithfulness:
    """Mean lengths over the steps of a deletion: `ranked` by occlusion, `random`; `lower` is the share of images."""

    images: int
    ranked: float
    random: float
    lower: float


def measure_faithfulness(model: Model, images: np.ndarray) -> Faithfulness:
    """Delete the tiles of images (B,C,H,W) in [0,1] in both orders, and read the longest capsule of each image."""
    generator = np.random.default_rng(0)
    pairs = np.array([_areas(model, image, generator) for image in images])  # (B,2)
    ranked, random = pairs.mean(axis=0).tolist()
    return Faithfulness(len(images), ranked, random, float((pairs[:, 0] < pairs[:, 1]).mean()))


def _areas(model: Model, image: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """The mean length of an image's longest capsule as tiles are covered: the highest ranked first, and at random."""
    lengths, _ = model.encode(image[None])
    label = int(lengths[0].argmax())
    height, width = image.shape[1:]
    patch, stride = occlusion.sizes(height, width)
    falls = lengths[0, label] - model.encode(occlusion.covered(image, patch, stride))[0][:, label]
    scores = occlusion.tiles(occlusion.heat(falls, (height, width), patch, stride), TILE)
    inked = np.flatnonzero(occlusion.tiles(image.mean(axis=0), TILE) > INK)
    orders = [inked[np.argsort(-scores[inked])], *(generator.permutation(inked) for _ in range(RANDOM))]
    means = [
        float(model.encode(occlusion.deletions(image, order, TILE))[0][:, label].mean()) for order in orders
    ]
    return means[0], float(np.mean(means[1:]))
