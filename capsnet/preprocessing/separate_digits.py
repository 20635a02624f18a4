"""Every digit in a picture by itself: strokes are grouped into digits, and marks, frames and lines are left out.

A component of strokes is a digit's body where it is about as high as the writing. Small components are pieces of the
body that they lie over or under, such as the bar of a 5. All others are marks: dots, commas, dashes and dirt.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from capsnet.preprocessing.connected_components import Components, find_components
from capsnet.preprocessing.crossing_lines import line_pixels, parts_of_lines
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
from capsnet.preprocessing.ruled_lines import remove_ruled_lines

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
HIGHEST = 1.3  # of the writing's height, that bodies joined may have
LEAST_PIECE = 0.004  # of the body's weight
MOST_FRAME = 0.35  # of its bounds, that a frame covers
MOST_CELL = 0.5  # of its bounds, that a cell covers with a digit that touches it
MOST_FRAMES = 48  # components, the heaviest, that may be frames
LEAST_FRAME = 16  # pixels of the shorter edge
LONG_FRAME = 2.2  # times as long as high: anything longer is a row of cells
LEAST_REST = 0.35  # of a cell's height: anything lower and was part of its lines is no digit
INSIDE = 0.3  # of a frame's height, that something in it has
SIDE = 0.1  # of a cell's height or width, in which its side lies
COVERED = 0.9  # of a side, that a cell's ink covers
REMAINS = 0.7  # of the pixels of a line's remains, that lie beside what was taken away
RIM = 2  # pixels around a frame
LEAST_EDGE = 160  # pixels of a picture in which straight lines are sought


@dataclass(frozen=True)
class Strokes:
    """The strokes of one digit, and where they stand.

    Attributes
    ----------
    values
        float32 (h,w): 1 on full strokes, 0 on the ground.
    left, top
        Place of its first column and row in the picture.
    row
        uint8 (H,W): the row of a data set that it is, or None where it was written.
    """

    values: np.ndarray
    left: int
    top: int
    row: np.ndarray | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in the picture; right and bottom are just outside."""
        height, width = self.values.shape
        return self.left, self.top, self.left + width, self.top + height


def separate_digits(contrast: np.ndarray, noise: float) -> list[Strokes]:
    """Find everything that stands as a digit does, in no order.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1] from `local_background.stroke_contrast`.
    noise
        Standard deviation of the bare ground's contrast.
    """
    floor = max(NOISE_LEVELS * noise, LEAST_CONTRAST)
    contrast, parts = _without_lines(contrast, floor)
    bare = _without_frames(contrast, parts, floor)
    if bare is not contrast:
        contrast, parts = bare, find_components(bare > floor, bare)
    likely = _written(parts)
    if not likely.any():
        return []
    mask = parts.mask(likely)
    # A digit's own strokes say how faint a part of it can be; anything fainter may join it to a neighbour.
    level = float(np.percentile(contrast[mask], 75))
    strong = contrast > max(floor, FAINTEST * level)
    contrast = np.where(strong, contrast, np.float32(0))
    parts = _bridged_components(strong, contrast)
    likely = _written(parts)
    if not likely.any():
        return []
    groups = _grouped(parts, likely & _as_strong(parts, likely))
    return [_cut_out(contrast, parts, members) for members in groups]


def _bridged_components(mask: np.ndarray, contrast: np.ndarray) -> Components:
    """Components of a mask bool (h,w) in which narrow gaps are closed; `pixels` counts those of the mask alone."""
    wide = _bridged(mask)
    parts = find_components(wide, contrast)
    label = np.repeat(parts.label, parts.ends - parts.starts)
    own = np.bincount(label, mask[wide], len(parts)).astype(np.int64)
    return dataclasses.replace(parts, pixels=np.maximum(own, 1))


def _bridged(mask: np.ndarray) -> np.ndarray:
    """Each pixel's eight neighbours as well, so that gaps as narrow as two pixels do not break a stroke: bool (h,w)."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    tall = wide.copy()
    tall[1:] |= wide[:-1]
    tall[:-1] |= wide[1:]
    return tall


def _without_lines(contrast: np.ndarray, floor: float) -> tuple[np.ndarray, Components]:
    """Take away ruled lines and lines that cross the picture; the contrast that is left, and its components."""
    mask = contrast > floor
    parts = find_components(mask, contrast)
    if streaked(parts):
        contrast = _without_remains(contrast, remove_ruled_lines(contrast, floor), mask, floor)
        parts = find_components(contrast > floor, contrast)
    if len(parts) and (lines := line_pixels(mask)) is not None:
        crossing = parts_of_lines(parts, contrast > floor, lines) & ~inner_parts(parts)
        if crossing.any():
            contrast = np.where(parts.mask(crossing), np.float32(0), contrast)
            parts = find_components(contrast > floor, contrast)
    return contrast, parts


def _without_frames(contrast: np.ndarray, parts: Components, floor: float) -> np.ndarray:
    """Take the straight sides of frames away, so that a digit that touches its bounds stands alone: float32 (h,w)."""
    result = contrast
    for number in np.argsort(-parts.weight)[:MOST_FRAMES].tolist():
        box = (
            int(parts.top[number]),
            int(parts.bottom[number]),
            int(parts.left[number]),
            int(parts.right[number]),
        )
        tall, wide = box[1] - box[0], box[3] - box[2]
        fill = parts.pixels[number] / (tall * wide)
        if fill > MOST_CELL or min(tall, wide) < LEAST_FRAME:
            continue
        own = component_mask(parts, np.array([number]), box)
        around = fill <= MOST_FRAME and _is_around_others(parts, number)
        if not (around or _is_rectangle(own)):
            continue
        result = result.copy() if result is contrast else result
        area = result[box[0] : box[1], box[2] : box[3]]
        if max(tall, wide) < LONG_FRAME * min(tall, wide):
            lines = line_pixels(own)
            if lines is None:
                area[own] = 0  # the frame alone: what stands in it was found beside it
            else:
                area[own & lines] = 0
                rest = find_components(own & (area > floor), area)
                area[rest.mask(rest.height < LEAST_REST * tall)] = 0
        else:
            area[own] = _without_sides(np.where(own, area, np.float32(0)), own, floor)[own]
    return result


def _without_sides(area: np.ndarray, own: np.ndarray, floor: float) -> np.ndarray:
    """The strokes in a row of cells, its straight lines taken away: float32 (h,w)."""
    # Lines are sought in pictures of some size, and have bare ground on both sides.
    times = -(-LEAST_EDGE // min(area.shape))
    large = np.repeat(np.repeat(np.pad(area, RIM), times, axis=0), times, axis=1)
    bare = remove_ruled_lines(large, floor)[times // 2 :: times, times // 2 :: times][RIM:-RIM, RIM:-RIM]
    return _without_remains(area, bare, own, floor)


def _is_around_others(parts: Components, number: int) -> bool:
    """Tell whether something as high as a digit stands within a component's bounds, on all sides."""
    inside = (
        (parts.top > parts.top[number])
        & (parts.bottom < parts.bottom[number])
        & (parts.left > parts.left[number])
        & (parts.right < parts.right[number])
    )
    return bool((inside & (parts.height > INSIDE * parts.height[number])).any())


def _is_rectangle(own: np.ndarray) -> bool:
    """Tell whether a component bool (h,w) covers all four sides of its bounds, as a frame does that a digit touches."""
    tall, wide = (max(2, round(SIDE * edge)) for edge in own.shape)
    sides = (
        own[:tall].any(axis=0),
        own[-tall:].any(axis=0),
        own[:, :wide].any(axis=1),
        own[:, -wide:].any(axis=1),
    )
    return min(float(side.mean()) for side in sides) > COVERED


def _without_remains(area: np.ndarray, bare: np.ndarray, own: np.ndarray, floor: float) -> np.ndarray:
    """Clear the rest of lines beside what was taken away of them: float32 (h,w)."""
    near = _bridged(_bridged(own & (bare < area / 2)))
    parts = find_components(own & (bare > floor), bare)
    label = np.repeat(parts.label, parts.ends - parts.starts)
    beside = np.bincount(label, near[own & (bare > floor)], len(parts)) > REMAINS * parts.pixels
    return np.where(parts.mask(beside), np.float32(0), bare)


def _written(parts: Components) -> np.ndarray:
    """Which components may be written digits: no frame, no bar, and nothing along the picture's edge. bool (N,)."""
    if not len(parts):
        return np.zeros(0, bool)
    fill = parts.pixels / (parts.height * parts.width)
    framing = framing_parts(parts) & (fill < MOST_FRAME)
    return np.asarray(may_be_digits(parts) & ~framing & (parts.height > LEAST_BAR * parts.width))


def _as_strong(parts: Components, likely: np.ndarray) -> np.ndarray:
    """Which components are about as strong as most likely ink; remains of printed lines are fainter. bool (N,)."""
    strength = parts.weight / parts.pixels
    order = np.flatnonzero(likely)[np.argsort(strength[likely])]
    weights = np.cumsum(parts.weight[order])
    return np.asarray(strength >= WEAKEST * strength[order[int(np.searchsorted(weights, weights[-1] / 2))]])


def _grouped(parts: Components, likely: np.ndarray) -> list[np.ndarray]:
    """Components of each digit, as a list of their numbers."""
    heights = parts.height
    order = np.flatnonzero(likely)[np.argsort(heights[likely])]
    weights = np.cumsum(parts.weight[order])
    usual = float(
        heights[order[int(np.searchsorted(weights, weights[-1] / 2))]]
    )  # half of the ink is as high
    bodies: list[int] = []
    for number in order[::-1].tolist():
        if heights[number] < LEAST_BODY * usual or _is_beside_larger(parts, number, bodies):
            continue
        bodies.append(number)
    return _with_pieces(parts, _stacked(parts, bodies, usual))


def _is_beside_larger(parts: Components, number: int, bodies: list[int]) -> bool:
    """Whether a component stands in line with a body that is much higher: a mark or a piece."""
    own = np.array(bodies, int)
    height = parts.height[own]
    middle = (parts.top[number] + parts.bottom[number]) / 2
    in_line = (middle > parts.top[own] - BAND * height) & (middle < parts.bottom[own] + BAND * height)
    apart = np.maximum(parts.left[own] - parts.right[number], parts.left[number] - parts.right[own])
    larger = parts.height[number] < LEAST_BESIDE * height
    return bool((in_line & (apart < BESIDE * height) & larger).any())


def _stacked(parts: Components, bodies: list[int], usual: float) -> list[list[int]]:
    """Join bodies that stand on each other and are together no higher than the writing: a digit in two halves."""
    groups = [[number] for number in bodies]
    for first in list(groups):
        for second in list(groups):
            if first is second or first not in groups or second not in groups:
                continue
            if _are_halves(_box(parts, first), _box(parts, second), usual):
                first += second
                groups.remove(second)
    return groups


def _box(parts: Components, members: list[int]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of some components together."""
    top, bottom = int(parts.top[members].min()), int(parts.bottom[members].max())
    return top, bottom, int(parts.left[members].min()), int(parts.right[members].max())


def _are_halves(first: tuple[int, int, int, int], second: tuple[int, int, int, int], usual: float) -> bool:
    """Tell whether one frame stands on another, near it, and both are no higher than the writing."""
    height = max(first[1], second[1]) - min(first[0], second[0])
    gap = max(second[0] - first[1], first[0] - second[1])
    shared = min(first[3], second[3]) - max(first[2], second[2])
    narrower = min(first[3] - first[2], second[3] - second[2])
    return height <= HIGHEST * usual and gap < PIECE_GAP * usual and shared > STACKED * narrower


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
    for number in np.flatnonzero(~taken & (parts.weight > LEAST_PIECE * weight.min())).tolist():
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
            members[int(np.argmax(np.where(fits, shared, -np.inf)))].append(number)
    return [np.array(group) for group in members]


def _is_bar(parts: Components, number: int, bodies: tuple[np.ndarray, ...]) -> np.ndarray:
    """Which bodies (left, right, top, height) a component may be the loose bar of, as at the top of a 5: bool (n,)."""
    left, right, top, height = bodies
    wide, tall = parts.width[number], parts.height[number]
    if wide < FLAT * tall:
        return np.zeros(len(left), bool)
    middle = (parts.top[number] + parts.bottom[number]) / 2
    beside = (parts.left[number] > (left + right) / 2) & (parts.left[number] - right < BAR_GAP * height)
    level = (middle > top - 2 * BAR * height) & (middle < top + BAR * height)
    return np.asarray(beside & level & (wide > BAR * height))


def _cut_out(contrast: np.ndarray, parts: Components, members: np.ndarray) -> Strokes:
    """The strokes of some components, at full contrast where they are strong."""
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
    """Pixels of some components within bounds (top, bottom, left, right) around them: bool (h,w)."""
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
