"""A folder of pictures as a data set: one sub-folder a class, each picture prepared as it will be when served."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from capsnet.config import InputSpec
from capsnet.preprocessing import pipeline
from training.data import keyed_random
from training.data.formats.binary_file import DatasetError

# A stream that no epoch uses, as `batches.SPLIT_STREAM` is.
FOLDER_STREAM = 0xFFFE


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the sub-folders, sorted: the order of the classes.

    Raises
    ------
    DatasetError
        If the folder does not exist or has fewer than two sub-folders.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with a sub-folder a class")
    names = tuple(sorted(path.name for path in _visible(folder) if path.is_dir()))
    if len(names) < 2:
        raise DatasetError(f"{folder}: has {len(names)} sub-folders; expected at least two, one a class")
    return names


def read(folder: Path, classes: tuple[str, ...], spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    """Read every picture of the classes.

    Returns
    -------
    images : np.ndarray
        uint8 (N,C,H,W), shuffled, always in the same way: statistics, ranges and examples are taken from the first
        images of a data set, which must not all be of one class.
    labels : np.ndarray
        int64 (N,), positions in `classes`.

    Raises
    ------
    DatasetError
        If a class has no picture, or a file is not a readable picture; the message names it.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in _visible(folder / name) if path.is_file())
        if not found:
            raise DatasetError(f"{folder / name}: holds no pictures; every class needs at least one")
        paths += found
        labels += [label] * len(found)
    order = keyed_random.permutation(0, FOLDER_STREAM, len(paths), torch.device("cpu")).tolist()
    paths, labels = [paths[index] for index in order], [labels[index] for index in order]
    images = np.empty((len(paths), spec.channels, spec.height, spec.width), np.uint8)
    for row, path in zip(images, paths, strict=True):
        row[...] = _read_picture(path, spec)
    return images, np.array(labels, np.int64)


def _read_picture(path: Path, spec: InputSpec) -> np.ndarray:
    try:
        return pipeline.decode_uint8(path.read_bytes(), spec)
    except (pipeline.NotAnImage, pipeline.ImageTooLarge) as error:
        raise DatasetError(f"{path}: {error}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None


def _visible(folder: Path) -> Iterator[Path]:
    """Entries whose names do not begin with a dot: .DS_Store, .ipynb_checkpoints and the like are no data."""
    return (path for path in folder.iterdir() if not path.name.startswith("."))
