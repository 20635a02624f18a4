"""Every digit in an image by itself: strokes are grouped into digits, and marks, frames and lines are left out.

A component of strokes is a digit's body where it is about as high as the writing. Small components are pieces of the
body that they lie over or under, such as the bar of a 5. All others are marks: dots, commas, dashes and dirt.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from capsnet.preprocessing.cells import cell_lines
from capsnet.preprocessing.connected_components import Components, find_components
from capsnet.preprocessing.crossing_lines import line_pixels, parts_of_lines, reduced
from capsnet.preprocessing.digits import (
    FAINTEST,
    FULL,
    LEAST_CONTRAST,
    NOISE_LEVELS,
    framing_parts,
    inner_parts,
    may_be_digits,
    streaked,
)
from capsnet.preprocessing.refused_shapes import is_soft, lacks_strokes
from capsnet.preprocessing.ruled_lines import DARKER, remove_ruled_lines

MOST_SHAPES = 1000  # that are looked at, the heaviest: a bound on the time that a page of dots takes
MOST_PIECES = 3000  # the same for small ones beside them
LEAST_BODY = 0.4  # of the writing's height: anything lower is no digit
WEAKEST = 0.5  # of the usual mean contrast: anything fainter all over is no writing
LEAST_BESIDE = 0.5  # of a neighbour's height: anything lower beside it is a mark
LEAST_BAR = 0.25  # height over width: anything lower is a dash or an underline
BAND = 0.35  # of a neighbour's height, that a mark may lie above or below it
BESIDE = 2.0  # of a neighbour's height, that a mark may lie away from it
OVER = 0.5  # of a piece's width, that lies over or under its body
PIECE_GAP = 0.14  # of the body's height, between it and a piece
STACKED = 0.6  # of the narrower half's width, that two halves of a digit share
DOT = 0.25  # of the body's height: a piece at its foot that is smaller is a full stop
UPPER = 0.4  # of the body's height, in which a piece may also stick out sideways, as the bar of a 5
FLAT = 1.3  # width over height, that a loose bar has at least
BAR = 0.2  # of the body's height, that a loose bar is at least wide, and at most below its top; above, twice as much
BAR_GAP = 0.6  # of the body's height, between it and a loose bar
HALVES_GAP = 0.4  # of the writing's height, between two parts of a digit that are none by themselves
HALF = 0.75  # of the writing's height: anything lower may be a part of a digit
LEAST_HALF = 0.3  # of the writing's height, that the longer side of such a part has
HIGHEST = 1.3  # of the writing's height, that bodies joined may have
LEAST_PIECE = 0.004  # of the body's weight
MOST_FRAME = 0.35  # of its bounds, that a frame covers
MOST_CELL = 0.5  # of its bounds, that a cell covers with a digit that touches it
MOST_FRAMES = 48  # components, the heaviest, that may be frames
LEAST_FRAME = 16  # pixels of the shorter edge
PARTS = 16  # of an image's height and width: lines of narrow squares run through most of these parts
EVERYWHERE, NARROW_SQUARES = 0.6, 0.05  # of the parts, and of the image, that such lines cover at least
STRIP = 3.0  # width over height: an image that is cut to a line of digits
AS_HIGH = 1.25  # of the median height: no line across the image is so low beside digits with a margin
RAIL = 0.3  # of the image's height, that a line from its top to its bottom is wide at most
REMAINS = 0.7  # of the pixels of a line's remains, that lie beside what was taken away


@dataclass(frozen=True)
class Strokes:
    """The strokes of one digit, and where they stand.

    Attributes
    ----------
    values
        float32 (h,w): 1 on full strokes, 0 on the ground.
    left, top
        Place of its first column and row in the image.
    row
        uint8 (H,W): the row of a data set that it is, or None where it was written.
    """

    values: np.ndarray
    left: int
    top: int
    row: np.ndarray | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in the image; right and bottom are just outside."""
        height, width = self.values.shape
        return self.left, self.top, self.left + width, self.top + height


def separate_digits(contrast: np.ndarray, noise: float, grey: np.ndarray | None = None) -> list[Strokes]:
    """Find everything that stands as a digit does, in no order.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1] from `local_background.stroke_contrast`.
    noise
        Standard deviation of the bare ground's contrast.
    grey
        uint8 (h,w), where a part of something larger is no digit.
    """
    floor = max(NOISE_LEVELS * noise, LEAST_CONTRAST)
    contrast = _without_lines(_without_frames(contrast, floor), floor)
    floor = _above_lines(_raised(floor, contrast), contrast)
    parts = find_components(contrast > floor, contrast)
    likely = _written(parts)
    if not likely.any():
        return []
    # A digit's own strokes say how faint a part of it can be; anything fainter may join it to a neighbour.
    strong = contrast > max(floor, FAINTEST * _level(contrast[parts.mask(likely)]))
    whole, contrast = contrast, np.where(strong, contrast, np.float32(0))
    parts = _bridged_components(strong, contrast)
    likely = _written(parts)
    if not likely.any():
        return []
    groups = _grouped(parts, likely & _as_strong(parts, likely))
    cut = (_cut_out(contrast, parts, members) for members in groups)
    return [each for each in cut if not _is_refused(each, whole, grey)]


def _is_refused(shape: Strokes, contrast: np.ndarray, grey: np.ndarray | None) -> bool:
    """Tell whether a shape has no edge or no strokes, or is a part of something larger."""
    inside, place = shape.values > 0, (shape.top, shape.left)
    return is_soft(contrast, inside, *place) or lacks_strokes(inside, *place, grey)


def _raised(floor: float, contrast: np.ndarray) -> float:
    """Return a floor above a shadow's rim or a tone of the ground: where strokes cross it, it must not join them."""
    return max(floor, FAINTEST / 2 * _level(contrast[contrast > floor]))


def _above_lines(floor: float, contrast: np.ndarray) -> float:
    """Return a floor above narrow squares whose lines are still there, if darker strokes may be written digits."""
    mask = contrast > floor
    height, width = (max(1, edge // PARTS) for edge in mask.shape)
    if mask.mean() < NARROW_SQUARES or reduced(mask, height, width).mean() < EVERYWHERE:
        return floor
    darker = DARKER * float(np.median(contrast[mask]))
    return darker if _written(find_components(contrast > darker, contrast)).any() else floor


def _level(contrast: np.ndarray) -> float:
    """Return the contrast of strokes among pixels (n,), however many of them are faint."""
    if not len(contrast):
        return 0.0
    ordered = np.sort(contrast)
    energy = np.cumsum(np.square(ordered))
    return float(ordered[int(np.searchsorted(energy, energy[-1] / 2))])


def _bridged_components(mask: np.ndarray, contrast: np.ndarray) -> Components:
    """Find components of a mask bool (h,w) with narrow gaps closed; `pixels` counts those of the mask alone."""
    wide = _bridged(mask)
    parts = find_components(wide, contrast)
    label = np.repeat(parts.label, parts.ends - parts.starts)
    own = np.bincount(label, mask[wide], len(parts)).astype(np.int64)
    return dataclasses.replace(parts, pixels=np.maximum(own, 1))


def _bridged(mask: np.ndarray) -> np.ndarray:
    """Add each pixel's eight neighbours, so that gaps of up to two pixels do not break a stroke: bool (h,w)."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    tall = wide.copy()
    tall[1:] |= wide[:-1]
    tall[:-1] |= wide[1:]
    return tall


def _without_lines(contrast: np.ndarray, floor: float) -> np.ndarray:
    """Take away ruled lines and lines that cross the image: float32 (h,w)."""
    mask = contrast > floor
    parts = find_components(mask, contrast)
    if not len(parts):
        return contrast
    lines = line_pixels(mask)
    if lines is not None or streaked(parts):
        contrast = _without_remains(contrast, remove_ruled_lines(contrast, floor), mask, floor)
        parts = find_components(contrast > floor, contrast)
    if lines is not None and len(parts):
        crossing = parts_of_lines(parts, contrast > floor, lines) & ~inner_parts(parts) & ~_fills_strip(parts)
        contrast = np.where(parts.mask(crossing), np.float32(0), contrast)
    return contrast


def _fills_strip(parts: Components) -> np.ndarray:
    """Tell which components are digits of a low, wide image that is cut to them: no higher than most. bool (N,)."""
    height, width = parts.shape
    if height * STRIP > width:
        return np.zeros(len(parts), bool)
    across = (
        (parts.top == 0) & (parts.bottom == height) & (parts.width < RAIL * height)
    )  # a line beside digits
    return np.asarray((parts.height <= AS_HIGH * np.median(parts.height)) & ~across)


def _without_frames(contrast: np.ndarray, floor: float) -> np.ndarray:
    """Take frames and the lines of cells away, so that a digit that touches them stands alone: float32 (h,w)."""
    result = contrast
    floor = _raised(floor, contrast)
    parts = find_components(contrast > floor, contrast)
    inner = inner_parts(parts)
    for number in np.argsort(-parts.weight * inner)[: min(MOST_FRAMES, inner.sum())].tolist():
        box = (
            int(parts.top[number]),
            int(parts.bottom[number]),
            int(parts.left[number]),
            int(parts.right[number]),
        )
        tall, wide = box[1] - box[0], box[3] - box[2]
        if parts.pixels[number] > MOST_CELL * tall * wide or min(tall, wide) < LEAST_FRAME:
            continue
        own = component_mask(parts, np.array([number]), box)
        lines = cell_lines(own)
        if lines is None:
            continue
        result = result.copy() if result is contrast else result
        area = result[box[0] : box[1], box[2] : box[3]]
        bare = np.where(lines, np.float32(0), area)
        area[own] = _without_remains(area, bare, own, floor)[own]
    return result


def _without_remains(area: np.ndarray, bare: np.ndarray, own: np.ndarray, floor: float) -> np.ndarray:
    """Clear the rest of lines beside what was taken away of them: float32 (h,w)."""
    near = _bridged(_bridged(own & (bare < area / 2)))
    parts = find_components(own & (bare > floor), bare)
    label = np.repeat(parts.label, parts.ends - parts.starts)
    beside = np.bincount(label, near[own & (bare > floor)], len(parts)) > REMAINS * parts.pixels
    return np.where(parts.mask(beside), np.float32(0), bare)


def _written(parts: Components) -> np.ndarray:
    """Tell which components may be written digits, bool (N,): no frame, no bar, nothing along the image's edge."""
    if not len(parts):
        return np.zeros(0, bool)
    fill = parts.pixels / (parts.height * parts.width)
    framing = framing_parts(parts) & (fill < MOST_FRAME)
    return np.asarray(
        may_be_digits(parts, _fills_strip(parts)) & ~framing & (parts.height > LEAST_BAR * parts.width)
    )


def _as_strong(parts: Components, likely: np.ndarray) -> np.ndarray:
    """Tell which components are about as strong as most likely ink; remains of printed lines are fainter. bool (N,)."""
    strength = parts.weight / parts.pixels
    order = np.flatnonzero(likely)[np.argsort(strength[likely])]
    weights = np.cumsum(parts.weight[order])
    return np.asarray(strength >= WEAKEST * strength[order[int(np.searchsorted(weights, weights[-1] / 2))]])


def _heaviest(parts: Components, chosen: np.ndarray, most: int) -> np.ndarray:
    """Leave of the chosen components (N,) the heaviest, at most so many: bool (N,)."""
    if np.count_nonzero(chosen) <= most:
        return chosen
    heaviest = np.zeros(len(parts), bool)
    heaviest[np.argsort(np.where(chosen, -parts.weight, 0), kind="stable")[:most]] = True
    return heaviest


def _grouped(parts: Components, likely: np.ndarray) -> list[np.ndarray]:
    """Group the components of each digit, as a list of their numbers."""
    likely = _heaviest(parts, likely, MOST_SHAPES)
    heights = parts.height
    order = np.flatnonzero(likely)[np.argsort(heights[likely])]
    weights = np.cumsum(parts.weight[order])
    usual = float(
        heights[order[int(np.searchsorted(weights, weights[-1] / 2))]]
    )  # half of the ink is as high
    longest = np.maximum(heights, parts.width)
    groups = _stacked(parts, np.flatnonzero(likely & (longest >= LEAST_HALF * usual)).tolist(), usual)
    boxes = {number: _box(parts, group) for number, group in enumerate(groups)}
    bodies: list[int] = []
    for number in sorted(boxes, key=lambda number: boxes[number][0] - boxes[number][1]):
        top, bottom, *_ = boxes[number]
        if bottom - top >= LEAST_BODY * usual and not _is_beside_larger(
            boxes[number], [boxes[body] for body in bodies]
        ):
            bodies.append(number)
    return _with_pieces(parts, [groups[number] for number in bodies])


Box = tuple[int, int, int, int]  # top, bottom, left and right


def _is_beside_larger(box: Box, bodies: list[Box]) -> bool:
    """Tell whether something stands in line with a body that is much higher: a mark or a piece."""
    own = np.array(bodies, int).reshape(-1, 4)
    height = own[:, 1] - own[:, 0]
    middle = (box[0] + box[1]) / 2
    in_line = (middle > own[:, 0] - BAND * height) & (middle < own[:, 1] + BAND * height)
    apart = np.maximum(own[:, 2] - box[3], box[2] - own[:, 3])
    larger = box[1] - box[0] < LEAST_BESIDE * height
    return bool((in_line & (apart < BESIDE * height) & larger).any())


def _stacked(parts: Components, numbers: list[int], usual: float) -> list[list[int]]:
    """Join what stands on each other and is together no higher than the writing: a digit in two parts or more."""
    boxes = np.stack([parts.top, parts.bottom, parts.left, parts.right], axis=1)[numbers]
    groups = [[number] for number in numbers]
    free = np.ones(len(groups), bool)
    for first in range(len(groups)):
        second = -1
        while free[first]:
            others = _are_halves(boxes[first], boxes, usual) & free
            others[first] = False
            later = np.flatnonzero(others[second + 1 :])
            if not len(later):
                break
            second += 1 + int(later[0])
            groups[first] += groups[second]
            free[second] = False
            boxes[first, ::2] = np.minimum(boxes[first, ::2], boxes[second, ::2])
            boxes[first, 1::2] = np.maximum(boxes[first, 1::2], boxes[second, 1::2])
    return [group for group, is_free in zip(groups, free, strict=True) if is_free]


def _box(parts: Components, members: list[int]) -> Box:
    top, bottom = int(parts.top[members].min()), int(parts.bottom[members].max())
    return top, bottom, int(parts.left[members].min()), int(parts.right[members].max())


def _are_halves(first: np.ndarray, second: np.ndarray, usual: float) -> np.ndarray:
    """Tell which frames (n,4) stand on a first one or under it, and with it are as high as the writing: bool (n,)."""
    own, heights = first[1] - first[0], second[:, 1] - second[:, 0]
    lower, higher = np.minimum(own, heights), np.maximum(own, heights)
    height = np.maximum(first[1], second[:, 1]) - np.minimum(first[0], second[:, 0])
    gap = np.maximum(second[:, 0] - first[1], first[0] - second[:, 1])
    shared = np.minimum(first[3], second[:, 3]) - np.maximum(first[2], second[:, 2])
    narrower = np.minimum(first[3] - first[2], second[:, 3] - second[:, 2])
    parts_of_one = higher < HALF * usual  # neither is a digit by itself
    marks = ~parts_of_one & (lower < LEAST_BODY * usual)  # over or under a digit
    least = np.where(parts_of_one, 0.0, STACKED * narrower)
    most = np.where(parts_of_one & (height >= HALF * usual), HALVES_GAP, PIECE_GAP)
    return np.asarray(~marks & (height <= HIGHEST * usual) & (gap < most * usual) & (shared > least))


def _with_pieces(parts: Components, groups: list[list[int]]) -> list[np.ndarray]:
    """Add to each body the small components that are pieces of it."""
    taken = np.zeros(len(parts), bool)
    for group in groups:
        taken[group] = True
    left = np.array([parts.left[group].min() for group in groups])
    right = np.array([parts.right[group].max() for group in groups])
    top = np.array([parts.top[group].min() for group in groups])
    bottom = np.array([parts.bottom[group].max() for group in groups])
    weight = np.array([parts.weight[group].sum() for group in groups])
    height = bottom - top
    members = [list(group) for group in groups]
    small_parts = _heaviest(parts, ~taken & (parts.weight > LEAST_PIECE * weight.min()), MOST_PIECES)
    for number in np.flatnonzero(small_parts).tolist():
        wide = parts.width[number]
        shared = np.minimum(parts.right[number], right) - np.maximum(parts.left[number], left)
        gap = np.maximum(parts.top[number] - bottom, top - parts.bottom[number])
        high = (parts.top[number] + parts.bottom[number]) / 2 < top + UPPER * height
        low = (parts.top[number] + parts.bottom[number]) / 2 > bottom - 0.1 * height
        over = shared >= np.where(high, 0.0, OVER) * wide
        over |= high & (shared > -PIECE_GAP / 2 * height) & (parts.top[number] > top - 0.1 * height)
        small = (parts.height[number] < 0.6 * height) & (wide < 1.2 * height)
        fits = over & (gap < PIECE_GAP * height) & ~(low & (shared < 0.8 * wide)) & small
        fits &= parts.weight[number] > LEAST_PIECE * weight
        # A dot on the foot of the line stands between digits, also under the overhang of one.
        fits &= ~(low & (max(parts.height[number], wide) < DOT * height))
        fits |= _is_bar(parts, number, (left, right, top, height)) & small
        if fits.any():
            # Loose between two bodies it belongs to the lower one: the other is a digit without it.
            nearest = np.where(shared > 0, shared, -height)
            members[int(np.argmax(np.where(fits, nearest, -np.inf)))].append(number)
    return [np.array(group) for group in members]


def _is_bar(parts: Components, number: int, bodies: tuple[np.ndarray, ...]) -> np.ndarray:
    """Tell of which bodies (left, right, top, height) a component may be the loose bar, as on a 5: bool (n,)."""
    left, right, top, height = bodies
    wide, tall = parts.width[number], parts.height[number]
    if wide < FLAT * tall:
        return np.zeros(len(left), bool)
    middle = (parts.top[number] + parts.bottom[number]) / 2
    beside = (parts.left[number] > (left + right) / 2) & (parts.left[number] - right < BAR_GAP * height)
    level = (middle > top - 2 * BAR * height) & (middle < top + BAR * height)
    return np.asarray(beside & level & (wide > BAR * height))


def _cut_out(contrast: np.ndarray, parts: Components, members: np.ndarray) -> Strokes:
    """Return the strokes of some components, at full contrast where they are strong."""
    top, bottom = int(parts.top[members].min()), int(parts.bottom[members].max())
    left, right = int(parts.left[members].min()), int(parts.right[members].max())
    own = contrast[top:bottom, left:right]
    inside = component_mask(parts, members, (top, bottom, left, right)) & (own > 0)
    level = float(np.percentile(own[inside], 75))
    values = np.where(inside, np.minimum(own / np.float32(FULL * level), np.float32(1)), np.float32(0))
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Strokes(values[box], left + int(columns[0]), top + int(rows[0]))


def component_mask(parts: Components, members: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return the pixels of some components within bounds (top, bottom, left, right) around them: bool (h,w)."""
    top, bottom, left, right = box
    runs = np.flatnonzero(np.isin(parts.label, members))
    stride = parts.shape[1] + 2
    rows, columns = np.divmod(parts.starts[runs], stride)
    ends = parts.ends[runs] - rows * stride
    # A run begins a step up and ends with a step down, so a running sum along each row is 1 inside.
    steps = np.zeros((bottom - top, right - left + 1), np.int8)
    np.add.at(steps, (rows - top, columns - 1 - left), 1)
    np.add.at(steps, (rows - top, ends - 1 - left), -1)
    return np.asarray(np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1] > 0)
