"""Read smallNORB: 48,600 pairs of images of fifty toys in five classes, in its published format.

LeCun, Huang, Bottou 2004, "Learning methods for generic object recognition with invariance to pose and lighting". Each
part is three matrices, whose little-endian format is described at https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/: a
magic number for the type, the number of dimensions, at least three sizes, then the values.

    dat   (N,2,96,96) bytes      the images of both cameras
    cat   (N,) integers          the class
    info  (N,4) integers         which toy of its class (0 to 9), elevation, azimuth, lighting

The images are halved to 48x48, as networks with capsules have taken them since Hinton, Sabour, Frosst 2018 ("Matrix
capsules with EM routing").
"""

import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from capsnet.config import InputSpec
from training.data.formats.binary_file import (
    DatasetError,
    Stream,
    located,
    read_at_most,
    read_exactly,
    read_file,
)

FOLDERS = ("smallnorb",)
HOME = "smallNORB is at https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
CLASSES = ("animal", "human", "airplane", "truck", "car")
INPUT = InputSpec(channels=2, height=48, width=48, preprocess="resize")
TYPES: dict[int, np.dtype[Any]] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
SIDE = 96
# The toys of the training part; those of the test part are the others.
TOYS = {"train": (4, 6, 7, 8, 9), "test": (0, 1, 2, 3, 5)}
NAMES = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training-{}.mat",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing-{}.mat",
}
COUNT = 24_300
CHUNK = 1000  # pairs that are halved at a time


def read(root: Path, part: str, *, subset: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N,2,48,48) and labels int64 (N,) of a part, `train` or `test`.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, of another kind or of the other part; the message names it. Unless `subset`, also
        if there are not exactly as many images as were published.
    """
    paths = {
        kind: located(root, FOLDERS, NAMES[part].format(kind), ".gz", HOME) for kind in ("dat", "cat", "info")
    }
    images = read_file(paths["dat"], partial(parse, dtype="u1", tail=(2, SIDE, SIDE)))
    labels = read_file(paths["cat"], partial(parse, dtype="<i4", tail=()))
    info = read_file(paths["info"], partial(parse, dtype="<i4", tail=(4,)))
    for kind, array in {"cat": labels, "info": info}.items():
        if len(array) != len(images):
            raise DatasetError(
                f"{paths[kind]}: {len(array):,} entries for the {len(images):,} images of {paths['dat']}"
            )
    if not len(images) or not (subset or len(images) == COUNT):
        raise DatasetError(f"{paths['dat']}: {len(images):,} images; {COUNT:,} were published")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DatasetError(
            f"{paths['cat']}: its labels reach from {labels.min()} to {labels.max()}, not 0 to 4"
        )
    if foreign := sorted(set(info[:, 0].tolist()) - set(TOYS[part])):
        raise DatasetError(
            f"{paths['info']}: shows toy {foreign[0]}; the toys of the {part} part are "
            f"{', '.join(map(str, TOYS[part]))}"
        )
    return halved(images), labels.astype(np.int64)


def parse(stream: Stream, *, dtype: str, tail: tuple[int, ...]) -> np.ndarray:
    """Read one matrix (N, *tail) of a type that fills the whole stream; raises DatasetError."""
    head = read_at_most(stream, 8)
    magic, dimensions = struct.unpack("<Ii", head) if len(head) == 8 else (0, 0)
    if magic not in TYPES:
        raise DatasetError(
            f"is not a matrix of smallNORB: it begins with {bytes(head[:4]).hex() or 'nothing'}"
        )
    if TYPES[magic] != np.dtype(dtype):
        names = {1: "bytes", 4: "integers"}
        raise DatasetError(
            f"holds {names[TYPES[magic].itemsize]}; expected {names[np.dtype(dtype).itemsize]}: "
            "perhaps it is another of the three files"
        )
    if dimensions != 1 + len(tail):
        raise DatasetError(f"has {dimensions} dimensions; expected {1 + len(tail)}")
    stored = max(3, dimensions)  # fewer are filled up with ones
    sizes_bytes = read_at_most(stream, 4 * stored)
    if len(sizes_bytes) < 4 * stored:
        raise DatasetError("ends within its header")
    sizes = struct.unpack(f"<{stored}I", sizes_bytes)[:dimensions]
    if sizes[1:] != tail:
        raise DatasetError(f"holds items of {sizes[1:]}; expected {tail}")
    content = read_exactly(stream, sizes, TYPES[magic].itemsize)
    matrix: np.ndarray = np.frombuffer(content, TYPES[magic]).reshape(sizes)
    return matrix


def halved(images: np.ndarray) -> np.ndarray:
    """Return images (N,C,H,W) at half their height and width, each pixel the rounded mean of four: uint8."""
    count, channels, height, width = images.shape
    small = np.empty((count, channels, height // 2, width // 2), np.uint8)
    for first in range(0, count, CHUNK):
        part = images[first : first + CHUNK]
        fours = part.reshape(len(part), channels, height // 2, 2, width // 2, 2)
        small[first : first + CHUNK] = (fours.sum(axis=(3, 5), dtype=np.uint16) + 2) // 4
    return small
