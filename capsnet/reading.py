"""Read every digit in an image: find them, cut those that touch, and choose what the network knows best.

    page = find_digits(data, spec)        the digits as arrays, before any network has seen them
    seen = ...                            lengths, poses and the guard's figures of `page.images`
    page = page.divided(seen)             digits that may be several are cut, in every way that makes sense
    seen = seen + ...                     the same of `page.images` that are new
    page.digits(seen, images)             the writing, in reading order

A program that runs the network does so in two batches at most, and knows nothing of image files.

Legend: N crops, C channels, H height, W width, J classes, D pose dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsnet import guard
from capsnet.card import Guard, ModelCard
from capsnet.config import InputSpec
from capsnet.preprocessing import image_file
from capsnet.preprocessing.colour_contrast import colour_contrast
from capsnet.preprocessing.local_background import MOSTLY, WRITING_EDGE, is_dark_on_light, stroke_contrast
from capsnet.preprocessing.panels import find_panel
from capsnet.preprocessing.pipeline import (
    FAINT,
    LEAST_COLOURED,
    MAX_PIXELS,
    WORKING_EDGE,
    find_row,
    find_strokes,
    place_digit,
)
from capsnet.preprocessing.separate_digits import Strokes, separate_digits
from capsnet.preprocessing.text_lines import reading_order
from capsnet.preprocessing.touching_digits import Division, divide

Floats = NDArray[np.float32]

MOST_DIGITS = 64
READING_EDGE = 1000  # pixels of the longer edge: enough for a line of 12 digits in pencil
WIDE = 1.05  # width over height, from which on strokes are rather several digits
LEAST_WIDE = 0.5  # anything narrower is not cut, whatever the guard says of it
MOST_DIVIDED = 16  # strokes of a page that are cut: each makes up to thirty pieces
UNKNOWN = 1.22  # usual limits of a refused crop's distance from its drawing, above which it is no digit
PERHAPS = 1.06  # the same, above which it may be a letter
STRICT = 0.85  # the same instead of `UNKNOWN`, where something else on the page may be a letter
TWO = 1.1  # width over height at which strokes are as likely one digit as two
AMONG = 1.2  # anomaly that pieces must save where other digits stand apart, so that few touch
LIKE_DIGITS = 1.9  # anomaly of each piece, at most
SHARED = 1.5  # anomaly that all of the ink adds, if it lies between one piece's end and the next one's start
ONE = 1  # the class that two upright strokes of a letter are read as
MOST_AGAIN = 32  # refused strokes of a page that are looked at again, slanted and stretched
LOOKS = ((0.2, 1.0), (-0.2, 1.0), (0.0, 0.75), (0.0, 1.25))  # slant and width of each further look
LEAST_INK = 0.3  # of full strokes, that counts when they are cropped
PLACE = "?"  # in the text, where something is no digit


class Sight(NamedTuple):
    """What the network sees in a crop.

    Attributes
    ----------
    lengths, poses
        (J,) and (J,D).
    anomaly
        The guard's anomaly score over its limit; accepted up to 1.
    distance
        From the drawing of the longest capsule, over the guard's usual limit: the mean over classes of the largest
        distance that it accepts of certain digits with as much ink as usual.
    """

    lengths: Floats
    poses: Floats
    anomaly: float
    distance: float


class Digit(NamedTuple):
    """A place on the page.

    Attributes
    ----------
    box
        Left, top, right and bottom in pixels of the upright image.
    capsule
        The class that is most likely.
    index
        The same, or None where something stands that is no digit.
    sight, image
        What the network saw, and in what (C,H,W).
    certain
        False where strokes touch and may belong to other digits than these.
    """

    box: tuple[int, int, int, int]
    capsule: int
    index: int | None  # type: ignore[assignment]  # the name is also that of a method of tuples
    sight: Sight
    image: Floats
    certain: bool


@dataclass(frozen=True)
class Page:
    """What stands in an image, in reading order.

    Attributes
    ----------
    spec
        The network's input.
    scale
        Pixels of the upright image to one of the image that the strokes were found in, across and down.
    lines
        The strokes by line.
    images
        float32 (N,C,H,W) in [0,1]: the crops that the network has not seen yet.
    found
        How many objects stand apart, those beyond the limit included.
    again
        The numbers of refused strokes, which are looked at again from several sides.
    divisions
        How strokes may be cut, by their number.
    most
        Digits beyond these, in reading order, are left out.
    """

    spec: InputSpec
    scale: tuple[float, float]
    lines: Sequence[Sequence[Strokes]]
    images: Floats
    found: int
    again: Sequence[int] = ()
    divisions: dict[int, Division] = field(default_factory=dict)
    most: int = MOST_DIGITS

    def divided(self, seen: Sequence[Sight]) -> Page:
        """Return the page with further looks at what was refused, and all ways to cut what may be several digits.

        `images` are the strokes slanted and stretched, and then the pieces.

        `seen` is what the network sees in the crops so far.
        """
        strokes = [each for line in self.lines for each in line]
        several = [
            number
            for number, (each, sight) in enumerate(zip(strokes, seen, strict=True))
            if _may_be_several(each, sight)
        ]
        divisions = {number: divide(strokes[number]) for number in several[:MOST_DIVIDED]}
        again = [
            number
            for number, (each, sight) in enumerate(zip(strokes, seen, strict=True))
            if sight.anomaly > 1 and each.row is None
        ][:MOST_AGAIN]
        looks = [_warped(strokes[number], *look) for number in again for look in LOOKS]
        pieces = [piece for division in divisions.values() for piece in division.pieces]
        images = _arrays([*looks, *pieces], self.spec)
        return replace(self, images=images, again=again, divisions=divisions)

    def digits(self, seen: Sequence[Sight], images: Floats) -> tuple[list[list[Digit]], int]:
        """Return the writing, by line, and how many objects there are, those beyond the limit included.

        Parameters
        ----------
        seen
            What the network sees in the crops of this page, whole ones and pieces.
        images
            The crops themselves, (N,C,H,W).
        """
        count = sum(map(len, self.lines))
        looks = {
            number: seen[count + len(LOOKS) * place :][: len(LOOKS)]
            for place, number in enumerate(self.again)
        }
        starts, start = {}, count + len(LOOKS) * len(self.again)
        for number, division in self.divisions.items():
            starts[number] = start
            start += len(division.pieces)
        known = _known(
            [each.box for line in self.lines for each in line],
            [_distance(seen[number], looks.get(number, ())) for number in range(count)],
        )
        lines: list[list[Digit]] = []
        number = 0
        objects = self.found - count
        for line in self.lines:
            digits: list[Digit] = []
            for strokes in line:
                whole = self._digit(strokes, seen[number], images[number], looks.get(number, ()))
                whole = whole if known[number] else whole._replace(index=None)
                cut = self.divisions.get(number)
                if cut is None:
                    digits.append(whole)
                else:
                    first = starts[number]
                    own = slice(first, first + len(cut.pieces))
                    digits += self._chosen(whole, cut, seen[own], images[own])
                number += 1
            objects += len(digits)
            free = self.most - sum(map(len, lines))
            if free > 0:
                lines.append(digits[:free])
        return lines, objects

    def _chosen(self, whole: Digit, division: Division, seen: Sequence[Sight], images: Floats) -> list[Digit]:
        """Return the whole, or the pieces that the network knows better."""
        path = best_path(division, seen)
        wide, anomaly = _is_wide(whole.box), whole.sight.anomaly
        among = sum(map(len, self.lines)) > 1
        least = AMONG if among else 0.0
        if path is None or _saved(cost_of(division, seen, path), anomaly, whole.box) < least:
            return [whole._replace(certain=anomaly <= 1 or not wide)]
        pieces = [self._digit(division.pieces[index], seen[index], images[index]) for index in path]
        certain = all(seen[index].anomaly <= 1 for index in path)
        upright = {piece.capsule for piece in pieces} == {ONE}
        if not wide and (upright or (among and not certain)):
            return [whole]  # rather a letter, such as N or V
        return [piece._replace(certain=certain) for piece in pieces]

    def _digit(
        self,
        strokes: Strokes,
        sight: Sight,
        image: Floats,
        looks: Sequence[Sight] = (),
    ) -> Digit:
        across, down = self.scale
        left, top, right, bottom = strokes.box
        box = (round(left * across), round(top * down), round(right * across), round(bottom * down))
        best = min((sight, *looks), key=lambda each: each.anomaly)
        capsule = int(best.lengths.argmax())
        return Digit(box, capsule, capsule, sight, image, certain=True)


def sights(limits: Guard, images: Floats, lengths: Floats, poses: Floats, distances: Floats) -> list[Sight]:
    """Combine lengths (N,J), poses (N,J,D) and distances (N,) of crops (N,C,H,W) with the guard's anomaly scores."""
    if not len(images):
        return []
    own = np.array(limits.p95)[lengths.argmax(axis=1)]
    anomaly = guard.anomaly_scores(limits, distances, images, lengths) / own
    usual = np.mean(np.multiply(limits.distance, limits.p95))
    every = zip(lengths, poses, anomaly.tolist(), (distances / usual).tolist(), strict=True)
    return [Sight(*each) for each in every]


def check_model(card: ModelCard) -> None:
    """Raise ValueError unless a model can read single digits; the message says why."""
    if card.input.preprocess != "mnist":
        raise ValueError(f"should read handwriting ('mnist'); its preprocessing is {card.input.preprocess!r}")
    if card.objects != 1:
        raise ValueError(f"should look for one object in an image, not for {card.objects}")


def answer_of(lines: Sequence[Sequence[Digit]], classes: Sequence[str], found: int) -> dict[str, Any]:
    """Return the fields of an answer that say the writing.

    Parameters
    ----------
    lines
        From `Page.digits`.
    classes
        The names of the classes.
    found
        How many objects the image has, those beyond the limit included.
    """
    digits = [
        {
            "box": list(digit.box),
            "line": number,
            "label": None if digit.index is None else classes[digit.index],
            "length": digit.sight.lengths[digit.capsule],
            "accepted": digit.sight.anomaly <= 1,
            "certain": digit.certain,
            "pose": digit.sight.poses[digit.capsule],
        }
        for number, line in enumerate(lines)
        for digit in line
    ]
    return {"text": text_of(lines, classes), "digits": digits, "objects_found": found}


def cost_of(division: Division, seen: Sequence[Sight], path: Sequence[int]) -> float:
    """Return how unlike digits pieces are together; lower ones, and those that share ink, are less likely digits."""
    anomaly = [seen[index].anomaly + 1 - division.heights[index] for index in path]
    between = [division.between[index] for index in path]
    shared = sum(_shared(division, before[1], after[0]) for before, after in pairwise(between))
    return float(np.mean(anomaly)) + SHARED * shared


def best_path(division: Division, seen: Sequence[Sight]) -> list[int] | None:
    """Return the pieces from left to right that are together most like digits; None where none fit together.

    A piece may begin a little before the one to its left ends: the stroke where two digits touch belongs to both.
    """
    best: dict[int, list[int]] = {0: []}
    for node in range(1, division.last + 1):
        options = [
            [*path, index]
            for index, (first, last) in enumerate(division.between)
            if last == node and seen[index].anomaly <= LIKE_DIGITS
            for path in best.values()
            if _follows(division, path, first)
        ]
        if options:
            best[node] = min(options, key=lambda path: cost_of(division, seen, path))
    return best.get(division.last)


def _follows(division: Division, path: Sequence[int], first: int) -> bool:
    """Tell whether a piece from the cut `first` may follow other pieces."""
    if not path or first == 0:
        return not path and first == 0
    return division.between[path[-1]][0] < first


def _shared(division: Division, one: int, other: int) -> float:
    """Return the share of the ink between two cuts."""
    return abs(division.shares[one] - division.shares[other])


def text_of(lines: Sequence[Sequence[Digit]], classes: Sequence[str]) -> str:
    """Return the classes in reading order, lines apart; `?` where something is no digit."""
    return "\n".join(
        "".join(PLACE if digit.index is None else classes[digit.index] for digit in line) for line in lines
    )


def find_digits(
    data: bytes,
    spec: InputSpec,
    *,
    most: int = MOST_DIGITS,
    max_pixels: int = MAX_PIXELS,
    claim: Callable[[int], None] | None = None,
) -> Page:
    """Find the digits in an image file.

    Parameters
    ----------
    data
        A whole image file.
    spec
        The array that the network takes; its preprocessing must be `mnist`.
    most
        Digits beyond these, in reading order, are left out.
    max_pixels
        Limit on the pixels that the image declares.
    claim
        As for `pipeline.decode`.

    Raises
    ------
    NotAnImage, ImageTooLarge
        As `pipeline.decode`.
    """
    image, size = image_file.read_with_size(
        data, enough=READING_EDGE, grey=True, max_pixels=max_pixels, claim=claim
    )
    found, area = _strokes(image, data, spec, max_pixels)
    lines = reading_order(np.array([each.box for each in found], float).reshape(-1, 4))
    kept, free = [], most
    for line in lines:
        if chosen := [found[number] for number in line[:free]]:
            kept.append(chosen)
        free -= len(chosen)
    own = [each for line in kept for each in line]
    return Page(
        spec=spec,
        scale=(size[0] / area[0], size[1] / area[1]),
        lines=kept,
        images=_arrays(own, spec),
        found=len(found),
        most=most,
    )


def _strokes(
    image: Any, data: bytes, spec: InputSpec, max_pixels: int
) -> tuple[list[Strokes], tuple[int, int]]:
    """Return everything that stands as a digit does, and the size of the image in which it was found."""
    drawing = image_file.alpha_as_drawing(image)
    grey = drawing or image_file.flatten(image, "L")
    if image.size == (spec.width, spec.height):
        row = find_row(grey, 1, alone=drawing is not None)
        if row is not None:
            return _row(row), image.size
    small = image_file.shrink(grey, READING_EDGE)
    values = np.asarray(small)
    if drawing:
        return separate_digits(values / np.float32(255), 0.0), small.size
    dark = _is_writing_dark(values)
    contrast, noise = stroke_contrast(values, dark)
    panel = find_panel(values)
    inside = _within(values, panel) if panel else []
    # A dark card on a white page may have no contrast as a whole, and none of its greys is a colour.
    if contrast.max() < FAINT and not inside and (coloured := _coloured(image, data, max_pixels)) is not None:
        return separate_digits(
            *stroke_contrast(coloured, _is_writing_dark(coloured)), coloured
        ), coloured.shape[::-1]
    # A row that a shadow joins has no edge: whether a shape has one is asked of each below.
    if (
        find_strokes(np.asarray(image_file.shrink(small, WORKING_EDGE)), least=0.0, soft=True, dark=dark)
        is None
    ):
        return [], small.size  # lines, edges and folds alone
    everything = separate_digits(contrast, noise, values)
    if panel and inside:
        # The inside of a 0 with a mark in it is no panel where more digits stand beside it.
        besides = len(everything) > len(inside) and any(_lies_within(panel, each) for each in everything)
        return (everything if besides else inside), small.size
    return everything, small.size


def _within(values: np.ndarray, panel: tuple[slice, slice]) -> list[Strokes]:
    """Return everything that stands as a digit does within a panel of a page, uint8 (h,w)."""
    rows, columns = panel
    values = np.ascontiguousarray(values[panel])
    inside = separate_digits(*stroke_contrast(values, _is_writing_dark(values)), values)
    return [Strokes(each.values, each.left + columns.start, each.top + rows.start) for each in inside]


def _is_writing_dark(grey: np.ndarray) -> bool:
    """Tell whether many digits are darker than the ground, uint8 (h,w): their strokes are thin."""
    return is_dark_on_light(grey, MOSTLY, WRITING_EDGE)


def _lies_within(panel: tuple[slice, slice], strokes: Strokes) -> bool:
    rows, columns = panel
    left, top, right, bottom = strokes.box
    return bool(left <= columns.start and columns.stop <= right and top <= rows.start and rows.stop <= bottom)


def _coloured(image: Any, data: bytes, max_pixels: int) -> np.ndarray | None:
    """Return the colours as grey, where brightness says nothing: uint8 (h,w); None where they differ little."""
    if image.mode == "L" and not data.startswith(image_file.PNG_HEADER):
        # A JPEG was decoded without its colours.
        image = image_file.read(data, enough=READING_EDGE, grey=False, max_pixels=max_pixels)
    if image.mode in image_file.GREY_MODES or min(image.size) < LEAST_COLOURED:
        return None
    return colour_contrast(np.asarray(image_file.shrink(image_file.flatten(image, "RGB"), READING_EDGE)))


def _row(row: np.ndarray) -> list[Strokes]:
    """Return the digit of a data set's row, which goes to the network as it is; none where it is blank."""
    rows, columns = np.flatnonzero(row.any(axis=1)), np.flatnonzero(row.any(axis=0))
    if not len(rows):
        return []
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    values = row[box] / np.float32(255)
    return [Strokes(values, int(columns[0]), int(rows[0]), row)]


def _arrays(strokes: Sequence[Strokes], spec: InputSpec) -> Floats:
    """Prepare strokes for the network: float32 (N,C,H,W)."""
    arrays = np.zeros((len(strokes), spec.channels, spec.height, spec.width), np.float32)
    for array, each in zip(arrays, strokes, strict=True):
        own = each.row if each.row is not None else place_digit(each.values, spec)
        assert own is not None  # noqa: S101  # there are strokes
        array[:] = own / np.float32(255)
    return arrays


def _warped(strokes: Strokes, slant: float, stretch: float) -> Strokes:
    """Slant strokes by a share of their height, and stretch them in width."""
    height, width = strokes.values.shape
    padding = int(abs(slant) * height) + 2
    shift = -(padding / 2 + slant * height / 2) / stretch
    image = Image.fromarray(strokes.values).transform(
        (max(1, round(width * stretch)) + padding, height),
        Image.Transform.AFFINE,
        (1 / stretch, slant / stretch, shift, 0, 1, 0),
        Image.Resampling.BILINEAR,
    )
    values = np.asarray(image)
    inside = values > LEAST_INK * values.max()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return Strokes(values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], strokes.left, strokes.top)


def _distance(sight: Sight, looks: Sequence[Sight]) -> float:
    """Return the mean distance of all looks at something from their drawings; 0 where the guard accepts it."""
    return 0.0 if sight.anomaly <= 1 else float(np.mean([each.distance for each in (sight, *looks)]))


def _known(boxes: Sequence[tuple[int, int, int, int]], distances: Sequence[float]) -> list[bool]:
    """Tell which places are digits; fewer where another place on the page may be a letter.

    Wide strokes may be several digits, so they say nothing of others.
    """
    letters = {n for n, box in enumerate(boxes) if not _is_wide(box) and distances[n] > PERHAPS}
    return [each <= (STRICT if letters - {n} else UNKNOWN) for n, each in enumerate(distances)]


def _is_wide(box: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = box
    return right - left > WIDE * (bottom - top)


def _may_be_several(strokes: Strokes, sight: Sight) -> bool:
    """Tell whether strokes are refused and wide enough for two digits."""
    height, width = strokes.values.shape
    return width > LEAST_WIDE * height and sight.anomaly > 1


def _saved(cost: float, whole: float, box: tuple[int, int, int, int]) -> float:
    """Return how much more pieces are like digits than the whole is; the wider it is, the likelier are several."""
    wider = (box[2] - box[0]) / (box[3] - box[1]) - TWO
    return whole + wider - cost
