"""Measure how straight a pose moves as its image is transformed, beside the features of other networks.

Legend: N images, S steps, D dimensions of a pose or of a class's features.
"""

from dataclasses import dataclass

import numpy as np

from capsnet.directions import linearity
from capsnet.onnx_model import Model
from capsnet.transforms import PROPERTIES, transform

STEPS = 13


@dataclass(frozen=True)
class Straightness:
    """The straightness of one property for one model; medians over images.

    Attributes
    ----------
    line
        R squared along a line of each image's own.
    common
        R squared over the way that the vectors move, by the mean slope of the other images of the class.
    shortest
        The smallest length (a CNN: probability) of the class over the steps.
    """

    line: float
    common: float
    shortest: float


def measure_linearity(model: Model, images: np.ndarray, labels: np.ndarray, name: str) -> Straightness:
    """Transform images (N,C,H,W) of the classes labels (N,) in steps, over the range of the directions."""
    reach = PROPERTIES[name].reach
    amounts = np.linspace(-reach, reach, STEPS)
    rows = np.arange(len(images))
    encoded = [model.encode(transform(images, name, float(amount))) for amount in amounts]
    lengths = np.stack([each[0][rows, labels] for each in encoded], axis=1)  # (N,S)
    vectors = np.stack([each[1][rows, labels] for each in encoded], axis=1)  # (N,S,D)
    moved = vectors - vectors[:, [STEPS // 2]]
    slopes = np.einsum("nsd,s->nd", moved, amounts) / np.square(amounts).sum()  # (N,D)
    common = []
    for row in rows:
        others = slopes[(labels == labels[row]) & (rows != row)].mean(axis=0)
        rest = moved[row] - amounts[:, None] * others
        common.append(1 - np.square(rest).sum() / np.square(moved[row]).sum())
    straight = [linearity(each, amounts) or 0.0 for each in vectors]
    return Straightness(*(float(np.median(each)) for each in (straight, common, lengths.min(axis=1))))
