"""Find the classes in images of several objects, add up their drawings, and count the missed objects.

Legend: B images, K objects in each, J classes, C channels, H height, W width.
"""

import numpy as np


def top_classes(lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """Return the classes (B,K) of the longest capsules, longest first; of equal lengths the lower index first.

    Parameters
    ----------
    lengths
        (B,J).
    objects
        K, the number of classes to return.
    """
    if objects == 1:
        longest: np.ndarray = lengths.argmax(axis=1)
        return longest[:, None]
    ranked: np.ndarray = np.argsort(-lengths, axis=1, kind="stable")
    return ranked[:, :objects]


def overlay(drawn: np.ndarray) -> np.ndarray:
    """Add up the drawings (B,K,C,H,W) in [0,1] of the capsules of each image, clipped at 1: (B,C,H,W).

    Training composes its images of several objects in the same way.
    """
    together: np.ndarray = np.minimum(drawn.sum(axis=1), np.float32(1))
    return together


def missed_count(lengths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the objects of each image that are not among its K longest capsules: (B,).

    Parameters
    ----------
    lengths
        (B,J).
    labels
        (B,) the class of the single object, or (B,K) the different classes of all objects.
    """
    classes = labels.reshape(len(labels), -1)  # (B,K)
    found = top_classes(lengths, classes.shape[1])  # (B,K)
    counts: np.ndarray = (classes[:, :, None] != found[:, None, :]).all(axis=2).sum(axis=1)
    return counts
