"""Tell which classes a network sees in an image of several objects, what they draw together, and which it missed.

Legend: B images, K objects in each, J classes, C channels, H height, W width.
"""

import numpy as np


def top_classes(lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """The classes (B,K) of the longest capsules, longest first; of equal lengths the lower index first.

    Parameters
    ----------
    lengths
        (B,J).
    objects
        K, how many are looked for.
    """
    if objects == 1:
        longest: np.ndarray = lengths.argmax(axis=1)
        return longest[:, None]
    ranked: np.ndarray = np.argsort(-lengths, axis=1, kind="stable")
    return ranked[:, :objects]


def overlay(drawn: np.ndarray) -> np.ndarray:
    """What the capsules of each image draw together, (B,C,H,W), from what each draws alone, (B,K,C,H,W) in [0,1].

    Their light is added up and clipped at 1, as it was when the objects were laid over each other.
    """
    together: np.ndarray = np.minimum(drawn.sum(axis=1), np.float32(1))
    return together


def missed_count(lengths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many of the objects in each image are not among as many longest capsules: (B,).

    Parameters
    ----------
    lengths
        (B,J).
    labels
        (B,) the class of the only object, or (B,K) the different classes of all.
    """
    classes = labels.reshape(len(labels), -1)  # (B,K)
    found = top_classes(lengths, classes.shape[1])  # (B,K)
    counts: np.ndarray = (classes[:, :, None] != found[:, None, :]).all(axis=2).sum(axis=1)
    return counts
