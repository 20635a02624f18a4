"""Read a folder of images as a data set: one sub-folder a class, each image prepared as for serving.

    FOLDER/CLASS/…/image.jpg                   below a class, any depth of sub-folders
    FOLDER/{train,val,test}/CLASS/…/image.jpg  the parts as they are: `val` validates, `test` is not seen in training

Names are compared and kept in Unicode's form NFC, so a folder means the same on a Mac and on Linux.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch

from capsnet.config import InputSpec, are_digits
from capsnet.image_encoding import is_skipped, walk_all
from capsnet.preprocessing import pipeline
from training.data import keyed_random
from training.data.formats.binary_file import DatasetError

# A stream that no epoch uses, as `device_data.SPLIT_STREAM` is.
FOLDER_STREAM = 0xFFFE
FolderPart = Literal["train", "val", "test"]
PARTS: dict[str, FolderPart] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageFile:
    """One file of a folder: its path, the position of its class, and the part that it lies in."""

    path: Path
    label: int
    part: FolderPart = "train"


@dataclass(frozen=True)
class Listing:
    """The files of a folder, in an order that does not depend on the machine.

    Attributes
    ----------
    folder
        The folder itself.
    classes
        Names of the classes in NFC, sorted.
    files
        All images, sorted by class and name.
    """

    folder: Path
    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]

    def of(self, *parts: FolderPart) -> tuple[ImageFile, ...]:
        """Return the files of some parts."""
        return tuple(file for file in self.files if file.part in parts)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes, sorted: the order of the capsules.

    Raises
    ------
    DatasetError
        If the folder does not exist or has fewer than two classes.
    """
    homes = _part_folders(folder)
    train = [home for home, part in homes if part == "train"]
    names = sorted({name for home in train for name in _sub_folders(home)})
    if len(names) < 2:
        where = folder if train == [folder] else train[0]
        raise DatasetError(f"{where}: has {_count(len(names), names)}; expected at least two, one a class")
    return tuple(names)


def list_images(folder: Path) -> Listing:
    """Find the images of all classes.

    Raises
    ------
    DatasetError
        If there are fewer than two classes, some have no images to train on, or a part has a class of its own.
    """
    classes = class_names(folder)
    files: list[ImageFile] = []
    homes = _part_folders(folder)
    for home, part in homes:
        below = _sub_folders(home)
        if unknown := sorted(below.keys() - set(classes)):
            raise DatasetError(f"{home}: has classes that the training part lacks: {', '.join(unknown)}")
        for label, name in enumerate(classes):
            found = sorted(
                (path for top in below.get(name, ()) for path in walk_all(top)),
                key=lambda path: nfc(path.relative_to(home).as_posix()),
            )
            files += [ImageFile(path, label, part) for path in found]
    known = {file.label for file in files if file.part == "train"}
    (train,) = (home for home, part in homes if part == "train")
    if empty := [str(train / name) for label, name in enumerate(classes) if label not in known]:
        raise DatasetError(f"{', '.join(empty)}: holds no images; every class needs at least one")
    return Listing(folder, classes, tuple(files))


def read(
    files: Sequence[ImageFile], spec: InputSpec, folder: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read images into memory.

    Parameters
    ----------
    files
        The files to read.
    spec
        The input for which each is prepared.
    folder
        Named in messages.

    Returns
    -------
    images : np.ndarray
        uint8 (N,C,H,W), always shuffled in the same way: statistics, ranges and examples come from the first images of
        a data set, which must not all be of one class.
    labels : np.ndarray
        int64 (N,), positions of the classes.
    held_out : np.ndarray
        bool (N,), true for the images of a `val` part.

    Raises
    ------
    DatasetError
        If files are not readable images; the message lists all of them.
    """
    order = keyed_random.permutation(0, FOLDER_STREAM, len(files), torch.device("cpu")).tolist()
    files = [files[index] for index in order]
    digits = are_digits(class_names(folder))
    images = np.empty((len(files), spec.channels, spec.height, spec.width), np.uint8)

    def fill(index: int, data: bytes) -> None:
        images[index] = pipeline.decode_uint8(data, spec, digits=digits)

    for_each_file(files, fill, folder)
    labels = np.array([file.label for file in files], np.int64)
    return images, labels, np.array([file.part == "val" for file in files])


def for_each_file(
    files: Sequence[ImageFile], use: Callable[[int, bytes], Result], folder: Path
) -> list[Result]:
    """Call `use(position, bytes)` for every file and return its results.

    Raises
    ------
    DatasetError
        If files cannot be read as images; the message lists all of them, with the reason of each.
    """
    results, faults = [], []
    for index, file in enumerate(files):
        try:
            results.append(use(index, file.path.read_bytes()))
        except (pipeline.NotAnImage, pipeline.ImageTooLarge) as error:
            faults.append(f"{file.path}: {error}")
        except OSError as error:
            faults.append(f"{file.path}: cannot be read ({error.strerror or error})")
    if len(faults) == 1:
        raise DatasetError(faults[0])
    if faults:
        listed = "\n  ".join(faults)
        raise DatasetError(
            f"{folder}: {len(faults)} of {len(files)} files are not readable images:\n  {listed}"
        )
    return results


def nfc(name: str) -> str:
    """Return a name in Unicode form NFC, as Linux and Windows write it; macOS may decompose accents."""
    return unicodedata.normalize("NFC", name)


def _part_folders(folder: Path) -> list[tuple[Path, FolderPart]]:
    """Return the folders that hold the classes: the folder itself, or its `train`, `val` and `test`."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with a sub-folder a class")
    below = _sub_folders(folder)
    parts = [(paths[0], PARTS[name.casefold()]) for name, paths in below.items() if name.casefold() in PARTS]
    train = [path for path, part in parts if part == "train"]
    if len(train) != 1 or not _sub_folders(train[0]):
        return [(folder, "train")]
    if len(parts) < len(below):
        others = sorted(name for name in below if name.casefold() not in PARTS)
        classes = _sub_folders(train[0]).keys()
        # `train` may be a class, beside `bus`; but a folder with classes of the same names is another part.
        if len(parts) == 1 and not any(classes & _sub_folders(below[name][0]).keys() for name in others):
            return [(folder, "train")]
        raise DatasetError(
            f"{folder}: has {', '.join(others)} beside {', '.join(path.name for path, _ in parts)}; "
            "expected train, val and test alone, or one sub-folder a class"
        )
    for path, _ in parts:
        if not _sub_folders(path) and any(not is_skipped(each.name) for each in path.iterdir()):
            raise DatasetError(f"{path}: has no sub-folders; expected those of {train[0]}, one a class")
    return parts


def _sub_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the sub-folders by their names in NFC; two names of one form are one class."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_skipped(path.name):
            # Bytes of another encoding, which no card can hold.
            if any("\ud800" <= sign <= "\udfff" for sign in path.name):
                raise DatasetError(
                    f"{folder}: the name of the sub-folder {path.name!r} is no text in UTF-8; rename it"
                )
            found.setdefault(nfc(path.name), []).append(path)
    return found


def _count(count: int, names: Sequence[str]) -> str:
    return f"one sub-folder, {names[0]}" if count == 1 else f"{count} sub-folders"
