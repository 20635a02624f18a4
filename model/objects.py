"""Several objects in one image: which classes a network sees, what they draw together, and which it missed.

Legend: B images, K objects in each, J classes, C channels, H height, W width.
"""

import numpy as np


def winners(lengths: np.ndarray, objects: int = 1) -> np.ndarray:
    """The classes (B,K) of the longest capsules, longest first; of equals the lower index first.

    Parameters
    ----------
    lengths
        (B,J).
    objects
        K, how many are looked for.
    """
    if objects == 1:
        return lengths.argmax(axis=1)[:, None]
    ranked: np.ndarray = np.argsort(-lengths, axis=1, kind="stable")
    return ranked[:, :objects]


def overlay(drawn: np.ndarray, objects: int = 1) -> np.ndarray:
    """What the winners of each image draw together, (B,C,H,W), from their drawings (B*K,C,H,W) in [0,1].

    The light of all is added up, as it was when the objects were laid over each other, and clipped at 1.
    """
    if objects == 1:
        return drawn
    together: np.ndarray = drawn.reshape(-1, objects, *drawn.shape[1:]).sum(axis=1)
    return np.minimum(together, np.float32(1))


def missed(lengths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many of the objects in each image are not among as many longest capsules: (B,).

    Parameters
    ----------
    lengths
        (B,J).
    labels
        (B,) the class of the only object, or (B,K) the different classes of all.
    """
    classes = labels.reshape(len(labels), -1)  # (B,K)
    found = winners(lengths, classes.shape[1])  # (B,K)
    counts: np.ndarray = (classes[:, :, None] != found[:, None, :]).all(axis=2).sum(axis=1)
    return counts
