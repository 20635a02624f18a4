"""Look at a folder of images before training: how many, how large, in colour or not, drawn or photographed."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from capsnet.preprocessing import image_file
from training.data.image_folder import Listing, for_each_file

THUMBNAIL = 64  # pixels
# A pixel is coloured where its channels lie so far apart; an image, where so many of its pixels are.
COLOUR, COLOURED_SHARE = 24, 0.02
# A stroke: ink stands out so far, covers no more than this, and is nowhere so thick, in pixels of a thumbnail.
CONTRAST, INK, MOST_INK, THICKEST = 60, 0.35, 0.35, 9
EVEN_BORDER = 0.9
FEW_A_CLASS, UNEVEN = 20, 5.0
# Two images are near-duplicates where their means over NEAR_SIDE x NEAR_SIDE fields differ by less, of 255.
NEAR_SIDE, NEAR = 16, 2.0
LISTED = 12


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """What the settings of a run depend on.

    Attributes
    ----------
    counts
        Images a class, of those to train and validate on.
    edges
        Shorter edges of the images in pixels: the smallest, the median, the largest.
    coloured, drawn
        Shares of the images that have colours, and that look like strokes on an even ground.
    """

    counts: tuple[int, ...]
    edges: tuple[int, int, int]
    coloured: float
    drawn: float

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.counts)


def survey(listing: Listing) -> FolderFacts:
    """Read every image once, small; raises DatasetError, which lists all files that cannot be read."""
    looked = for_each_file(listing.files, lambda _, data: inspect_image(data), listing.folder)
    used = [each for each, file in zip(looked, listing.files, strict=True) if file.part != "test"]
    edges = sorted(edge for edge, _, _ in used)
    labels = Counter(file.label for file in listing.of("train", "val"))
    return FolderFacts(
        counts=tuple(labels[label] for label in range(len(listing.classes))),
        edges=(edges[0], edges[len(edges) // 2], edges[-1]),
        coloured=float(np.mean([coloured for _, coloured, _ in used])),
        drawn=float(np.mean([drawn for _, _, drawn in used])),
    )


def inspect_image(data: bytes) -> tuple[int, bool, bool]:
    """Return the shorter edge of an image, whether it has colours, and whether it looks drawn."""
    image = image_file.read(data, enough=2 * THUMBNAIL, grey=False)
    with Image.open(io.BytesIO(data)) as whole:
        edge = min(whole.size)
    small = image_file.flatten(image, "RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels = np.asarray(small).astype(int)  # (H,W,3)
    coloured = bool((np.ptp(pixels, axis=2) > COLOUR).mean() > COLOURED_SHARE)
    return edge, coloured, not coloured and looks_drawn(pixels.mean(axis=2))


def looks_drawn(grey: np.ndarray) -> bool:
    """Return whether a thumbnail (H,W) shows thin strokes on an even ground."""
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    difference = np.abs(grey - np.median(border))
    contrast = np.percentile(difference, 99.5)
    if contrast < CONTRAST:
        return False
    ink = difference > INK * contrast
    even = (np.abs(border - np.median(border)) < INK * contrast).mean() >= EVEN_BORDER
    thick = ndimage.binary_erosion(ink, np.ones((THICKEST, THICKEST))).any()
    return bool(even and ink.mean() < MOST_INK and not thick)


def summary(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Return "180 images, per class: cup 60, …" in one line."""
    each = [f"{name} {count}" for name, count in zip(classes, counts, strict=True)]
    more = f", … ({len(each) - LISTED} more)" if len(each) > LISTED else ""
    return f"{sum(counts):,} images, per class: {', '.join(each[:LISTED])}{more}"


def warnings(classes: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Return a sentence for each thing about the numbers of images that makes a good result unlikely."""
    said = []
    if single := [name for name, count in zip(classes, counts, strict=True) if count == 1]:
        said.append(f"classes with one image, which are trained but not validated: {', '.join(single)}")
    few = [f"{name} {count}" for name, count in zip(classes, counts, strict=True) if 1 < count < FEW_A_CLASS]
    if few:
        said.append(
            f"few images: {', '.join(few)}; expect errors, and wide intervals. {FEW_A_CLASS} a class are little, "
            "100 are good"
        )
    if max(counts) > UNEVEN * min(counts):
        low, high = int(np.argmin(counts)), int(np.argmax(counts))
        said.append(
            f"uneven classes: {classes[high]} has {counts[high]} images, {classes[low]} has {counts[low]}; "
            "the network will prefer the larger one"
        )
    return said


def near_duplicates(
    images: np.ndarray, labels: np.ndarray, held_out: np.ndarray, classes: Sequence[str]
) -> str | None:
    """Return a sentence if validation images are almost equal to training images, else None.

    Parameters
    ----------
    images, labels
        uint8 (N,C,H,W) and (N,).
    held_out
        bool (N,), the validation images.
    classes
        Names of the classes.
    """
    fields = _fields(images)  # (N,F)
    seen, kept = fields[~held_out], fields[held_out]
    near = np.zeros(len(kept), bool)
    for index, row in enumerate(kept):
        near[index] = bool((np.sqrt(np.square(seen - row).mean(axis=1)) < NEAR).any())
    if not near.any():
        return None
    where = Counter(classes[label] for label in labels[held_out][near])
    listed = ", ".join(f"{name} {count}" for name, count in where.most_common(LISTED))
    return (
        f"{int(near.sum())} of {len(kept)} validation images are near-duplicates of training images ({listed}); "
        "the validation error is too good"
    )


def _fields(images: np.ndarray) -> np.ndarray:
    """Return means over NEAR_SIDE x NEAR_SIDE fields: float32 (N,F)."""
    small = [
        np.stack(
            [
                np.asarray(Image.fromarray(band).resize((NEAR_SIDE, NEAR_SIDE), Image.Resampling.BOX))
                for band in image
            ]
        )
        for image in images
    ]
    return np.stack(small).reshape(len(images), -1).astype(np.float32)
