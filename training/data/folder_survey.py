"""Survey a folder of images before training: counts, sizes, colours, drawn or photographed."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from capsnet.preprocessing import image_file
from training.data.image_folder import Listing, for_each_file

THUMBNAIL = 64  # pixels
# A pixel is coloured if its channels differ by more than COLOUR; an image, if this share of its pixels is.
COLOUR, COLOURED_SHARE = 24, 0.02
# Strokes: least contrast of ink, its threshold as a share of that, its largest share, and its largest thickness in
# pixels of a thumbnail.
CONTRAST, INK, MOST_INK, THICKEST = 60, 0.35, 0.35, 9
# An even ground: this share of the border's pixels differ from their median by less than EVEN levels.
EVEN_BORDER, EVEN = 0.9, 12
FEW_A_CLASS, UNEVEN = 20, 5.0
# Validation images that are compared at a time: 50 MB for 25,000 training images.
SURVEY_BATCH = 256
# Two images are near-duplicates if their means over NEAR_SIDE x NEAR_SIDE fields differ by less than NEAR, of 255.
NEAR_SIDE, NEAR = 16, 2.0
LISTED = 12
# Levels of a colour histogram a channel, neighbours that vote, and the fewest and most images for a vote.
LEVELS, VOTERS, FEWEST_TO_VOTE, MOST_TO_VOTE = 4, 5, 100, 2000
# A vote of colours up to so many standard errors above chance predicts nothing.
BY_CHANCE = 3.0


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """Facts about a folder on which the settings of a run depend.

    Attributes
    ----------
    counts
        Images a class, of those to train and validate on.
    edges
        Shorter edges of the images in pixels: the smallest, the median, the largest.
    coloured, drawn
        Shares of the images that have colours, and that look like strokes on an even ground.
    even
        Share of the images that show something on an even ground.
    held_out
        Images of the folder's own validation part; 0 without one.
    told_by_colours
        Share of the images whose class their colours alone tell; None where the images are too few to say.
    """

    counts: tuple[int, ...]
    edges: tuple[int, int, int]
    coloured: float
    drawn: float
    even: float = 0.0
    held_out: int = 0
    told_by_colours: float | None = None

    @property
    def images(self) -> int:
        """Return the number of images."""
        return sum(self.counts)

    @property
    def colours_say_nothing(self) -> bool:
        """Tell whether colours predict the class no better than chance."""
        if self.told_by_colours is None:
            return False
        chance = max(self.counts) / self.images
        return self.told_by_colours <= chance + BY_CHANCE * math.sqrt(chance * (1 - chance) / self.images)


def survey(listing: Listing) -> FolderFacts:
    """Inspect a small version of every image; raises DatasetError, which lists all files that cannot be read."""
    inspected = for_each_file(listing.files, lambda _, data: inspect_image(data), listing.folder)
    used = [each for each, file in zip(inspected, listing.files, strict=True) if file.part != "test"]
    edges = sorted(each.edge for each in used)
    labels = Counter(file.label for file in listing.of("train", "val"))
    return FolderFacts(
        counts=tuple(labels[label] for label in range(len(listing.classes))),
        edges=(edges[0], edges[len(edges) // 2], edges[-1]),
        coloured=float(np.mean([each.coloured for each in used])),
        drawn=float(np.mean([each.drawn for each in used])),
        even=float(np.mean([each.even for each in used])),
        held_out=len(listing.of("val")),
        told_by_colours=told_by_colours(
            np.stack([each.histogram for each in used]),
            np.array([file.label for file in listing.of("train", "val")]),
        ),
    )


class ImageFacts(NamedTuple):
    """Facts about one image: its shorter edge, whether it has colours, looks drawn, and has an even ground.

    `histogram` holds the shares (L,) of its colours.
    """

    edge: int
    coloured: bool
    drawn: bool
    even: bool
    histogram: np.ndarray


def inspect_image(data: bytes) -> ImageFacts:
    """Return the facts about one image file."""
    image, size = image_file.read_with_size(data, enough=2 * THUMBNAIL, grey=False)
    small = image_file.flatten(image, "RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels = np.asarray(small).astype(int)  # (H,W,3)
    coloured = bool((np.ptp(pixels, axis=2) > COLOUR).mean() > COLOURED_SHARE)
    level = pixels * LEVELS // 256  # (H,W,3)
    colour = level @ np.array([LEVELS**2, LEVELS, 1])  # (H,W)
    histogram = np.bincount(colour.ravel(), minlength=LEVELS**3) / colour.size
    border = _border(pixels)  # (N,3)
    near = (np.abs(border - np.median(border, axis=0)) < EVEN).all(axis=1)
    return ImageFacts(
        edge=min(size),
        coloured=coloured,
        drawn=not coloured and looks_drawn(pixels.mean(axis=2)),
        even=bool(near.mean() >= EVEN_BORDER),
        histogram=histogram,
    )


def told_by_colours(histograms: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the share of images whose class the images of the most similar colours vote for.

    Parameters
    ----------
    histograms
        Shares of the colours (N,L) of each image.
    labels
        Their classes (N,).

    Returns
    -------
    float | None
        None if there are fewer than `FEWEST_TO_VOTE` images. Of more than `MOST_TO_VOTE`, evenly chosen ones vote.
    """
    if len(labels) < FEWEST_TO_VOTE:
        return None
    chosen = np.linspace(0, len(labels) - 1, min(len(labels), MOST_TO_VOTE)).astype(int)
    roots, labels = np.sqrt(histograms[chosen]), labels[chosen]
    likeness = roots @ roots.T  # (N,N), Bhattacharyya's coefficient
    np.fill_diagonal(likeness, -1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :VOTERS]
    votes = np.stack([(labels[nearest] == own).sum(axis=1) for own in range(labels.max() + 1)], axis=1)
    return float((votes.argmax(axis=1) == labels).mean())


def looks_drawn(grey: np.ndarray) -> bool:
    """Return whether a thumbnail (H,W) shows thin strokes on an even ground."""
    border = _border(grey)
    difference = np.abs(grey - np.median(border))
    contrast = np.percentile(difference, 99.5)
    if contrast < CONTRAST:
        return False
    ink = difference > INK * contrast
    even = (np.abs(border - np.median(border)) < INK * contrast).mean() >= EVEN_BORDER
    thick = ndimage.binary_erosion(ink, np.ones((THICKEST, THICKEST))).any()
    return bool(even and ink.mean() < MOST_INK and not thick)


def _border(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels (N,…) at the edges of an image (H,W,…)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def summary(classes: Sequence[str], counts: Sequence[int]) -> str:
    """Return "180 images, per class: cup 60, …" in one line."""
    each = [f"{name} {count}" for name, count in zip(classes, counts, strict=True)]
    more = f", … ({len(each) - LISTED} more)" if len(each) > LISTED else ""
    return f"{sum(counts):,} images, per class: {', '.join(each[:LISTED])}{more}"


def warnings(classes: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Return a sentence for each thing about the numbers of images that makes a good result unlikely."""
    sentences = []
    if single := [name for name, count in zip(classes, counts, strict=True) if count == 1]:
        sentences.append(f"classes with one image, which are trained but not validated: {', '.join(single)}")
    few = [f"{name} {count}" for name, count in zip(classes, counts, strict=True) if 1 < count < FEW_A_CLASS]
    if few:
        sentences.append(
            f"few images: {', '.join(few)}; expect errors, and wide intervals. {FEW_A_CLASS} a class are little, "
            "100 are good"
        )
    if max(counts) > UNEVEN * min(counts):
        low, high = int(np.argmin(counts)), int(np.argmax(counts))
        sentences.append(
            f"uneven classes: {classes[high]} has {counts[high]} images, {classes[low]} has {counts[low]}; "
            "the network will prefer the larger one"
        )
    return sentences


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
    training, validation = fields[~held_out], fields[held_out]
    # |a - b|² = |a|² + |b|² - 2ab, exact in float64 for whole numbers: one product of matrices for many rows.
    norms = np.square(training).sum(axis=1)
    near = np.zeros(len(validation), bool)
    for first in range(0, len(validation), SURVEY_BATCH):
        rows = validation[first : first + SURVEY_BATCH]
        apart = norms - 2 * rows @ training.T + np.square(rows).sum(axis=1)[:, None]
        near[first : first + SURVEY_BATCH] = apart.min(axis=1, initial=np.inf) < NEAR**2 * training.shape[1]
    if not near.any():
        return None
    where = Counter(classes[label] for label in labels[held_out][near])
    listed = ", ".join(f"{name} {count}" for name, count in where.most_common(LISTED))
    return (
        f"{int(near.sum())} of {len(validation)} validation images are near-duplicates of training images ({listed}); "
        "the validation error is too good"
    )


def _fields(images: np.ndarray) -> np.ndarray:
    """Return means over NEAR_SIDE x NEAR_SIDE fields: float64 (N,F)."""
    small = [
        np.stack(
            [
                np.asarray(Image.fromarray(band).resize((NEAR_SIDE, NEAR_SIDE), Image.Resampling.BOX))
                for band in image
            ]
        )
        for image in images
    ]
    return np.stack(small).reshape(len(images), -1).astype(np.float64)
