"""Load the data sets that networks are trained on, by name.

Everything that differs between the published sets is in the table `PUBLISHED`, and how others are made of them in
`DERIVED`. Only the requested part is ever opened, so training cannot read a test set by accident.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from capsnet.config import InputSpec
from training.data import image_folder
from training.data.composition import Affine, CompositionSpec, SceneComposer
from training.data.formats import cifar10, idx, smallnorb
from training.data.formats.binary_file import DatasetError, located

__all__ = [
    "DERIVED",
    "PUBLISHED",
    "DatasetError",
    "DatasetInfo",
    "DatasetPart",
    "Part",
    "Published",
    "describe",
    "load",
]

Part = Literal["train", "test"]

DATA_VARIABLE = "CAPSNET_DATA"
DEFAULT_FOLDER = Path("data")
FOLDER_PREFIX = "folder:"
DEFAULT_INPUT = InputSpec(channels=1, height=28, width=28, preprocess="resize")

IMAGES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}


@dataclass(frozen=True)
class DatasetPart:
    """One part of a data set.

    Attributes
    ----------
    images
        uint8 (N,C,H,W).
    labels
        int64 (N,), or (N,K) where each image shows K objects.
    scene
        How scenes are made from the images, new in each epoch of training; None for plain images.
    parts
        uint8 (N,K,C,H,W): each object of an image alone, where the image was made of several.
    by_class
        Hold out the same share of every class, for folders; published sets are split as a whole.
    held_out
        bool (N,), the images that a folder itself sets apart for validation; None where it does not.
    """

    images: np.ndarray
    labels: np.ndarray
    scene: CompositionSpec | None = None
    parts: np.ndarray | None = None
    by_class: bool = False
    held_out: np.ndarray | None = None

    def fingerprint(self) -> str:
        """Return a hash of all images and labels: equal exactly for equal parts."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        if self.held_out is not None:
            digest.update(np.ascontiguousarray(self.held_out).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class DatasetInfo:
    """The classes and the input of a data set, and the number of objects in each image."""

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    objects: int = 1


@dataclass(frozen=True)
class Published:
    """A published data set: what it shows, and the SHA-256 of each unzipped file."""

    title: str
    classes: tuple[str, ...]
    input: InputSpec
    sha256: dict[str, str]


PUBLISHED = {
    "mnist": Published(
        title="MNIST",
        classes=tuple("0123456789"),
        input=InputSpec(channels=1, height=28, width=28, preprocess="mnist"),
        sha256={
            IMAGES["train"]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            LABELS["train"]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            IMAGES["test"]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            LABELS["test"]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion_mnist": Published(
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        input=InputSpec(channels=1, height=28, width=28, preprocess="fashion"),
        sha256={
            IMAGES["train"]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            LABELS["train"]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            IMAGES["test"]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            LABELS["test"]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
}


class Reader(Protocol):
    """Reads a part of a data set, below a folder, out of files in a format of its own."""

    def __call__(self, root: Path, part: str, *, subset: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return images uint8 (N,C,H,W) and labels int64 (N,); raises DatasetError."""


@dataclass(frozen=True)
class Special:
    """A published data set in a format of its own, which is not downloaded."""

    title: str
    classes: tuple[str, ...]
    input: InputSpec
    read: Reader


SPECIAL = {
    "smallnorb": Special("smallNORB", smallnorb.CLASSES, smallnorb.INPUT, smallnorb.read),
    "cifar10": Special("CIFAR-10", cifar10.CLASSES, cifar10.INPUT, cifar10.read),
}


@dataclass(frozen=True)
class Derived:
    """A data set whose images are scenes made of a published one's.

    One with `train_on` is a test set alone, for networks that were trained on the data set of that name.
    """

    title: str
    source: str
    scene: CompositionSpec
    train_on: str | None = None


DERIVED = {
    "multimnist": Derived(
        title="MultiMNIST", source="mnist", scene=CompositionSpec(side=36, shift=4, objects=2)
    ),
    # As in the code that Sabour et al. published; their paper says 4 pixels.
    "multimnist_shift6": Derived(
        title="MultiMNIST, shifts of 6", source="mnist", scene=CompositionSpec(side=36, shift=6, objects=2)
    ),
    "translated_mnist": Derived(
        title="Translated MNIST", source="mnist", scene=CompositionSpec(side=40, shift=6)
    ),
    "affnist": Derived(
        title="Affine-transformed MNIST",
        source="mnist",
        scene=CompositionSpec(side=40, shift=None, affine=Affine(rotation=20, shear=0.2, scale=0.2)),
        train_on="translated_mnist",
    ),
}
# Every data set but folders.
NAMES = (*PUBLISHED, *DERIVED, *SPECIAL)
# First images of a composed data set that are made into scenes where a few thousand are enough.
COMPOSED = 3000
# The seed of a test set's scenes, which are always the same.
TEST_SEED = 2017


def describe(name: str, *, spec: InputSpec | None = None) -> DatasetInfo:
    """Return the classes and the input of a data set.

    Parameters
    ----------
    name
        One of `NAMES`, or `folder:PATH` for a folder with one sub-folder a class.
    spec
        For a folder: the size, channels and preprocessing to read its images with (28x28 grey, `resize`, where
        None). A published data set has its own and refuses another.

    Raises
    ------
    DatasetError
        If there is no such data set, or `spec` contradicts it.
    """
    if name.startswith(FOLDER_PREFIX):
        classes = image_folder.class_names(folder_of(name))
        return DatasetInfo(name=name, classes=classes, input=spec or DEFAULT_INPUT)
    info = _info(name)
    if spec not in (None, info.input):
        raise DatasetError(f"{name} has an input of its own, {info.input}; only a folder can choose")
    return info


def has_test_part(dataset: str) -> bool:
    """Tell whether a data set keeps images for tests: published ones do, and folders with a sub-folder `test`."""
    if not dataset.startswith(FOLDER_PREFIX):
        return True
    return bool(image_folder.list_images(folder_of(dataset)).of("test"))


def portable(dataset: str) -> str:
    """Return a data set's name without the parent folders, which mean nothing on another machine."""
    if not dataset.startswith(FOLDER_PREFIX):
        return dataset
    return FOLDER_PREFIX + image_folder.nfc(folder_of(dataset).resolve().name)


def source_of(dataset: str) -> str:
    """Return the published data set whose images a data set is made of, or itself."""
    name = portable(dataset)
    return DERIVED[name].source if name in DERIVED else name


def load(
    name: str,
    part: Part,
    folder: Path | None = None,
    *,
    spec: InputSpec | None = None,
    subset: bool = False,
    draw: int = 0,
) -> DatasetPart:
    """Read one part of a data set, and no other file.

    Parameters
    ----------
    name, spec
        As for `describe`.
    part
        A folder is read whole for either, unless it has the sub-folders `train`, `val` or `test`.
    folder
        Folder of the published data sets, each in FOLDER/NAME/ or directly in FOLDER; by default the environment
        variable CAPSNET_DATA, or else ./data.
    subset
        Accept any number of images instead of exactly the published files.
    draw
        Number of the draw, for a test set composed from another's images; published figures are of draw 0.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, or not the expected one; the message names it.
    """
    info = describe(name, spec=spec)
    if name.startswith(FOLDER_PREFIX):
        return _load_folder(folder_of(name), part, info.input)
    root = folder or Path(os.environ.get(DATA_VARIABLE) or DEFAULT_FOLDER)
    if name in SPECIAL:
        return DatasetPart(*SPECIAL[name].read(root, part, subset=subset))
    if name not in DERIVED:
        return _load_published(root, name, part, subset)
    derived = DERIVED[name]
    if part == "train" and derived.train_on:
        raise DatasetError(f"{name} is a test set; the data set to train on for it is {derived.train_on}")
    source = _load_published(root, derived.source, part, subset)
    return (
        replace(source, scene=derived.scene) if part == "train" else fixed_scenes(source, derived.scene, draw)
    )


def fixed_scenes(source: DatasetPart, scene: CompositionSpec, draw: int = 0) -> DatasetPart:
    """Return the scenes of a draw of a test set, one for each image; they are the same everywhere."""
    images, labels = torch.from_numpy(source.images), torch.from_numpy(source.labels)
    composer = SceneComposer(scene, images, labels, torch.arange(len(labels)))
    made = composer.compose_all(seed=TEST_SEED + draw, epoch=0)
    labels = made.labels.squeeze(1)  # (N,K), or (N,) of single objects
    return DatasetPart(made.images.numpy(), labels.numpy(), parts=made.parts.numpy())


def first_scenes(data: DatasetPart, most: int = COMPOSED) -> DatasetPart:
    """Return fixed scenes of the first images of a composed data set; other data as they are."""
    if data.scene is None:
        return data
    return fixed_scenes(DatasetPart(data.images[:most], data.labels[:most]), data.scene)


def _load_folder(folder: Path, part: Part, spec: InputSpec) -> DatasetPart:
    listing = image_folder.list_images(folder)
    files = listing.of("test") if part == "test" else ()
    images, labels, held_out = image_folder.read(files or listing.of("train", "val"), spec, folder)
    return DatasetPart(images, labels, by_class=True, held_out=held_out if held_out.any() else None)


def _load_published(root: Path, name: str, part: Part, subset: bool) -> DatasetPart:
    images = _read_published(root, name, IMAGES[part], 3, subset)
    labels = _read_published(root, name, LABELS[part], 1, subset)
    _check_pair(_info(name), images, labels, f"{root}: {name}'s {part} part")
    return DatasetPart(images[:, None], labels.astype(np.int64))  # (N,H,W) -> (N,1,H,W)


def folder_of(name: str) -> Path:
    """Return the path in `folder:PATH`."""
    return Path(name.removeprefix(FOLDER_PREFIX)).expanduser()


def normalized_name(name: str) -> str:
    """Return a data set's name with a path as `pathlib` writes it: `folder:leaves/` is `folder:leaves`."""
    if not name.startswith(FOLDER_PREFIX):
        return name
    return f"{FOLDER_PREFIX}{Path(name.removeprefix(FOLDER_PREFIX))}"


def _info(name: str) -> DatasetInfo:
    published = PUBLISHED.get(name) or SPECIAL.get(name)
    if published is not None:
        return DatasetInfo(name=name, classes=published.classes, input=published.input)
    if name in DERIVED:
        source, scene = PUBLISHED[DERIVED[name].source], DERIVED[name].scene
        spec = replace(source.input, height=scene.side, width=scene.side)
        return DatasetInfo(name=name, classes=source.classes, input=spec, objects=scene.objects)
    raise DatasetError(f"no data set '{name}'; there are {', '.join(NAMES)} and {FOLDER_PREFIX}PATH")


def _read_published(root: Path, name: str, file: str, dimensions: int, subset: bool) -> np.ndarray:
    home = f"`python -m training download {name}` fetches it, --data or {DATA_VARIABLE} tells where it lies"
    path = located(root, (name,), file, ".gz", home)
    array = idx.read(path, dimensions)
    digest = PUBLISHED[name].sha256[file]
    if not subset and (found := idx.content_sha256(array)) != digest:
        raise DatasetError(
            f"{path}: is not {name}'s {file} but {_recognise(found, array)}; "
            f"expected content with SHA-256 {digest}"
        )
    return array


def _recognise(digest: str, array: np.ndarray) -> str:
    """Tell what a file holds that is not the expected one: perhaps another known file."""
    for name, published in PUBLISHED.items():
        for file, known in published.sha256.items():
            if digest == known:
                return f"{name}'s {file}"
    return f"something else, {len(array):,} items (SHA-256 {digest})"


def _check_pair(info: DatasetInfo, images: np.ndarray, labels: np.ndarray, what: str) -> None:
    if images.shape[1:] != (info.input.height, info.input.width):
        size = f"{images.shape[1]}x{images.shape[2]}"
        raise DatasetError(f"{what}: the images are {size}; expected {info.input.height}x{info.input.width}")
    if len(images) != len(labels):
        raise DatasetError(f"{what}: {len(images):,} images but {len(labels):,} labels")
    if not len(images):
        raise DatasetError(f"{what}: holds no images")
    if labels.max() >= len(info.classes):
        raise DatasetError(f"{what}: a label is {labels.max()}; the highest is {len(info.classes) - 1}")
