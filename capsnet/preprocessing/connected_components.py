"""Connected components of a mask, in NumPy alone: rows are cut into runs, and runs that touch are joined."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """The connected components of a mask (h,w): its runs, and figures of each component.

    Attributes
    ----------
    shape
        (h,w).
    starts, ends
        int64 (R,): first column and column after the last of each run, counted through the padded rows (`_stride`).
    label
        int64 (R,): the component of each run.
    top, bottom, left, right
        int64 (N,): boxes of the components; bottom and right are just outside.
    pixels
        int64 (N,).
    weight
        float64 (N,): sum of the weights of its pixels.
    """

    shape: tuple[int, int]
    starts: np.ndarray
    ends: np.ndarray
    label: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    left: np.ndarray
    right: np.ndarray
    pixels: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def height(self) -> np.ndarray:
        """Return the heights of the boxes, int64 (N,)."""
        return np.asarray(self.bottom - self.top)

    @property
    def width(self) -> np.ndarray:
        """Return the widths of the boxes, int64 (N,)."""
        return np.asarray(self.right - self.left)

    @property
    def contact(self) -> np.ndarray:
        """Return the number of pixels on the mask's edges, those at corners twice, int64 (N,)."""
        height, width = self.shape
        row, left = np.divmod(self.starts, _stride(width))
        long = (self.ends - self.starts) * ((row == 0).astype(int) + (row == height - 1))
        ends = (left == 1).astype(int) + (left + self.ends - self.starts == width + 1)
        return np.bincount(self.label, long + ends, len(self)).astype(np.int64)

    def slender(self, share: float) -> np.ndarray:
        """Find the components whose boxes are narrower than a share of their length: bool (N,)."""
        shorter, longer = np.minimum(self.height, self.width), np.maximum(self.height, self.width)
        return np.asarray(shorter < share * longer)

    def extent(self, chosen: np.ndarray) -> tuple[int, int]:
        """Return height and width of the space that some components, bool (N,), cover."""
        tall = self.bottom[chosen].max() - self.top[chosen].min()
        wide = self.right[chosen].max() - self.left[chosen].min()
        return int(tall), int(wide)

    def window(self, number: int) -> tuple[slice, slice]:
        """Return the rows and columns that a component extends over."""
        return (
            slice(int(self.top[number]), int(self.bottom[number])),
            slice(int(self.left[number]), int(self.right[number])),
        )

    def mask(self, chosen: np.ndarray) -> np.ndarray:
        """Return the pixels of the components that are chosen, bool (N,): bool (h,w)."""
        runs = chosen[self.label]
        inside = np.zeros(self.shape[0] * _stride(self.shape[1]), bool)
        inside[_pixels(self.starts[runs], self.ends[runs])] = True
        return inside.reshape(self.shape[0], -1)[:, 1 : self.shape[1] + 1]


def find_components(mask: np.ndarray, weights: np.ndarray) -> Components:
    """Find the components of a mask bool (h,w), pixels that touch at a corner included; weights float (h,w)."""
    height, width = mask.shape
    stride = _stride(width)
    padded = np.zeros((height, stride), bool)
    padded[:, 1 : width + 1] = mask
    flat = padded.ravel()
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # where runs begin and end, in turn
    starts, ends = change[::2].copy(), change[1::2].copy()
    label, count = _joined(starts, ends, stride)
    row, left, right = starts // stride, starts % stride - 1, ends - starts // stride * stride - 1
    # The mask's pixels in order are the runs' pixels in order.
    first = np.cumsum(right - left) - (right - left)
    weight = np.add.reduceat(weights[mask], first, dtype=np.float64) if len(first) else np.zeros(0)
    # Runs are in the order of rows, and of several values for one place the last one stays.
    top, bottom = np.empty(count, np.int64), np.empty(count, np.int64)
    top[label[::-1]] = row[::-1]
    bottom[label] = row + 1
    return Components(
        shape=(height, width),
        starts=starts,
        ends=ends,
        label=label,
        top=top,
        bottom=bottom,
        left=_least(label, left, count),
        right=-_least(label, -right, count),
        pixels=np.bincount(label, right - left, count).astype(np.int64),
        weight=np.bincount(label, weight, count),
    )


def _stride(width: int) -> int:
    """Return the length of a padded row: an empty column on either side keeps the runs of neighbouring rows apart."""
    return width + 2


def _joined(starts: np.ndarray, ends: np.ndarray, stride: int) -> tuple[np.ndarray, int]:
    """Return the component of each run, int64 (R,), and their count: the least number wins, until none changes."""
    first = np.searchsorted(ends, starts + stride, "left")
    touching = np.maximum(np.searchsorted(starts, ends + stride, "right") - first, 0)
    above = np.repeat(np.arange(len(starts)), touching)
    below = np.arange(len(above)) - np.repeat(np.cumsum(touching) - touching, touching) + first[above]
    label = np.arange(len(starts))
    while ((upper := label[above]) != (lower := label[below])).any():
        least = np.minimum(upper, lower)
        np.minimum.at(label, upper, least)
        np.minimum.at(label, lower, least)
        label = label[label]
    first_of_all = label == np.arange(len(label))
    number = np.cumsum(first_of_all) - 1
    return number[label], int(first_of_all.sum())


def _pixels(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return all numbers from each start to before its end: int64."""
    lengths = ends - starts
    return np.asarray(np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths))


def _least(label: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, label, values)
    return least
