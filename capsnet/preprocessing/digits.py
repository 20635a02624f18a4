"""The digit or symbol among all that stands out from the ground, at the width of stroke of a network's images."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from capsnet.preprocessing.connected_components import Components, find_components
from capsnet.preprocessing.crossing_lines import (
    is_along_step,
    line_pixels,
    parts_of_angles,
    parts_of_lines,
)
from capsnet.preprocessing.local_background import quantiles, stroke_width
from capsnet.preprocessing.outlines import fill_outline
from capsnet.preprocessing.refused_shapes import is_pattern, is_soft, lacks_strokes
from capsnet.preprocessing.rings import clear_ring
from capsnet.preprocessing.ruled_lines import remove_ruled_lines

NOISE_LEVELS = 4.0  # standard deviations from the ground that are still ground
LEAST_CONTRAST = 0.06  # fainter differences are no stroke
FAINTEST = 0.35  # of a digit's own strokes; fainter pixels beside them are not a part of it
FULL = 0.8  # of the strokes' level, from which on they count as full
NEAR = 0.12  # of the digit's height: pieces no farther away belong to it
LINK = 0.3  # of the first piece's length, that the others of a chain have at least
ALIKE = 0.7  # of the first piece's darkness, that the others of a chain have at least
LONGER = 2.0  # lengths of the first piece, that the others of a chain have at most
CHAIN_NEAR = 0.25  # of a segment's length and thickness: the next of a chain is no farther away
CHAIN = 2.7  # lengths with thickness, that a chain is at most high: two segments and the gaps between them
BAR = 2.5  # heights, that a level bar is at least wide
SHORT_LINE = 0.6  # of the digit's width, that a line under it is at least long
UNDER = 0.05  # of the digit's height, by which a line under it may overlap it
LEAST_PIECE = 0.004  # of the digit's weight

STROKE = 0.5  # of a symbol's main stroke: so dark are its others, and
LEAST_STROKE = 0.02  # so heavy

LEAST_LENGTH = 0.012  # of the image's longer edge: shorter components are no digit
LEAST_PIXELS = 8  # of its strokes
LEAST_STRENGTH = 0.1  # mean contrast: a fainter component is a change of tone
HAIRLINE = 0.02  # of its length: a thinner one that ends at the image's edge is a ruled line, or half as thin
AS_HIGH = 0.75  # of the digit: a piece beside it that is as high is another digit
ANOTHER = 0.6  # of the digit's height and strength, that another object beside it has
CLOSE = 0.8  # of the image's height and width: a close crop
ALONG = 0.5  # of its length: what touches the edge for longer lies along it
CUT = 0.25  # of its length, that a 1 is wide which the edge cuts lengthwise


REMNANT = 1.5  # pixels, that strokes are wide on average if they remain of a line
SLENDER = 0.4  # of its length: a narrower one may be a line across the image
LONG = 0.6  # of the image's height or width: a longer one may be several

MOST_INSIDE = 20  # components, the heaviest, that may have a frame around them
LEAST_INSIDE = 0.1  # of the frame's weight
MOST_FRAME = 0.3  # of its extent, that a frame covers

PIECES = 3  # of a display's digit, that are at least apart
SEGMENT = 0.1  # of the digit's longer edge, that a piece is at least long
GAP = 0.14  # of the digit's longer edge, that a gap between two is at most wide

FINE = 80  # pixels to the longer edge of the canvas in which strokes are brought to their width
USUAL = 0.125  # width of MNIST's strokes, in shares of the digit's longer edge
THINNEST, THICKEST = 0.10, 0.16  # as they are between these


@dataclass
class ObjectCount:
    """Parts of an image beyond those that are read.

    Attributes
    ----------
    found
        How many separate objects stand in it as a digit does: the one that is taken, and others like it.
    first_frame
        Whether the file holds more images, of which the first is read.
    """

    found: int = 0
    first_frame: bool = False


def segment_digits(
    contrast: np.ndarray,
    noise: float,
    count: int = 1,
    counted: ObjectCount | None = None,
    *,
    grey: np.ndarray | None = None,
    digits: bool = True,
    soft: bool = False,
) -> np.ndarray | None:
    """Crop to the digit, or to the likeliest `count`, of which several may be one by overlap; None where there is none.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1] from `local_background.stroke_contrast`.
    noise
        Standard deviation of the bare ground's contrast.
    count
        How many digits to look for.
    counted
        Takes up how many separate objects there are.
    grey
        uint8 (h,w), where what lies along the step between two grounds is no digit, nor a part of something larger.
    digits
        Whether to clear a ring around a digit, the slash of a 0, and an angle along two sides of the image, and to
        refuse a pattern, a solid shape and a part of something larger. Otherwise a single object is a symbol, and all
        strokes within the image are its own.
    soft
        Whether a shape without an edge counts, and all that `digits` refuses.

    Returns
    -------
    np.ndarray or None
        float32 (h,w): 1 on full strokes, 0 on the ground.
    """
    floor = max(NOISE_LEVELS * noise, LEAST_CONTRAST)
    symbol = is_symbol(count, digits)
    choose = _symbol if symbol else partial(_digits, count=count)
    contrast, parts, likelihood = _without_lines(contrast, floor, digits)
    whole = parts
    zero = False
    if digits and len(parts) and (cleared := clear_ring(contrast, parts)) is not None:
        contrast, zero = cleared
        parts = find_components(contrast > floor, contrast)
    filled = fill_outline(contrast, parts) if len(parts) and not zero else None
    if filled is not None:
        contrast = filled
        parts = find_components(contrast > floor, contrast)
    if not may_be_digits(parts).any():
        return None
    chosen = choose(parts, likelihood=likelihood if parts is whole else None)
    if counted is not None:
        counted.found = 1 if symbol else _separate_objects(parts, chosen)
    if digits and not soft and is_pattern(parts, chosen):
        return None
    # The digit's own strokes say how faint a part of it can be; fainter pixels may have joined it to something else.
    mask = parts.mask(chosen)
    mask &= contrast > FAINTEST * quantiles(contrast[mask], 0.75)[0]
    parts = find_components(mask, contrast)
    mask = parts.mask(choose(parts))
    if grey is not None and is_along_step(grey, mask):
        return None
    level = quantiles(contrast[mask], 0.75)[0]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    place = int(rows[0]), int(columns[0])
    if not soft and is_soft(contrast, mask[box], *place):
        return None
    if digits and not soft and filled is None and lacks_strokes(mask[box], *place, grey):
        return None
    return np.where(mask[box], np.minimum(contrast[box] / (FULL * level), np.float32(1)), np.float32(0))


def _without_lines(
    contrast: np.ndarray, floor: float, digits: bool
) -> tuple[np.ndarray, Components, np.ndarray]:
    """Clear lines and edges of tables: float32 (h,w), the components left, and how much each looks like a digit."""
    mask = contrast > floor
    parts = find_components(mask, contrast)
    clean = remove_ruled_lines(contrast, floor) if streaked(parts) else contrast
    if clean is not contrast:
        parts = find_components(clean > floor, clean)
    likelihood = _likelihood(parts)
    if len(parts) and _may_be_line(parts, int(np.argmax(likelihood))):
        lines = line_pixels(mask)
        crossing = (
            np.zeros(len(parts), bool) if lines is None else parts_of_lines(parts, clean > floor, lines)
        )
        if crossing.any():
            # Where one line crosses the image, another straight piece at its edge is hardly a 1.
            crossing |= ~inner_parts(parts) & parts.slender(SLENDER)
        if digits:  # a letter may be an angle
            crossing |= parts_of_angles(parts)
        clean, parts, likelihood = _cleared(clean, parts, likelihood, crossing, floor)
    thin = parts.pixels < REMNANT * (parts.height + parts.width)
    if clean is not contrast and len(parts) and thin[int(np.argmax(likelihood))]:
        return _cleared(clean, parts, likelihood, thin, floor)
    return clean, parts, likelihood


def _cleared(
    contrast: np.ndarray, parts: Components, likelihood: np.ndarray, chosen: np.ndarray, floor: float
) -> tuple[np.ndarray, Components, np.ndarray]:
    """Clear the components that are chosen (N,), if any: the contrast, the components left and their likelihoods."""
    if not chosen.any():
        return contrast, parts, likelihood
    clean = np.where(parts.mask(chosen), np.float32(0), contrast)
    parts = find_components(clean > floor, clean)
    return clean, parts, _likelihood(parts)


def _separate_objects(parts: Components, taken: np.ndarray) -> int:
    """Count the object that is taken, components bool (N,), and all others that are as high and as dark."""
    main = int(np.argmax(np.where(taken, parts.weight, 0)))
    height, strength = parts.height / parts.height[main], parts.weight / parts.pixels
    alike = (height > ANOTHER) & (height < 1 / ANOTHER) & (strength > ANOTHER * strength[main])
    # What was taken as a piece of the digit is one of its own where it is as high and stands beside it.
    apart = (parts.left >= parts.right[main]) | (parts.right <= parts.left[main])
    own = taken & ~(apart & (height > AS_HIGH) & (height < 1 / AS_HIGH))
    others = ~own & alike & may_be_digits(parts) & inner_parts(parts) & ~framing_parts(parts)
    return 1 + int(others.sum())


def _may_be_line(parts: Components, main: int) -> bool:
    """Tell whether a component may be a line that crosses the image, or some of them."""
    long = parts.height[main] > LONG * parts.shape[0] or parts.width[main] > LONG * parts.shape[1]
    return bool(parts.slender(SLENDER)[main] or long or not inner_parts(parts)[main])


def streaked(parts: Components) -> bool:
    """Tell whether something runs from an edge of the image through half of it."""
    height, width = parts.shape
    return bool(np.any(~inner_parts(parts) & ((2 * parts.width > width) | (2 * parts.height > height))))


def is_symbol(count: int, digits: bool) -> bool:
    """Tell whether an image shows one thing that is no digit, so that all strokes in it are its own."""
    return count == 1 and not digits


def _digits(parts: Components, count: int, likelihood: np.ndarray | None = None) -> np.ndarray:
    """Tell which components are digits: the likeliest, as many as are looked for, and the pieces near them. bool (N,).

    `likelihood` (N,) is that of the components, if it is known.
    """
    likelihood = _likelihood(parts) if likelihood is None else likelihood
    main = int(np.argmax(likelihood))
    found = _with_pieces(parts, main)
    for _ in range(1, count):
        likelihood[found] = 0
        other = int(np.argmax(likelihood))
        if likelihood[other] == 0 or not _is_another(parts, other, main):
            break
        found |= _with_pieces(parts, other)
    return found


def _symbol(parts: Components, likelihood: np.ndarray | None = None) -> np.ndarray:
    """Tell which components are strokes of a symbol: the likeliest, and all like it within the image. bool (N,).

    The strokes of a symbol may lie apart, beside or around each other: =, i, a plus in a circle.
    """
    main = int(np.argmax(_likelihood(parts) if likelihood is None else likelihood))
    strength = parts.weight / parts.pixels
    strokes = inner_parts(parts) & (strength > STROKE * strength[main])
    strokes &= parts.weight > LEAST_STROKE * parts.weight[main]
    return np.asarray(strokes | _with_pieces(parts, main))


def _is_another(parts: Components, other: int, main: int) -> bool:
    """Tell whether a component is as large and as dark as a second digit beside the first: no speck, and no frame."""
    longest = np.maximum(parts.height, parts.width)
    strength = parts.weight / parts.pixels
    alike = 2 * longest[other] > longest[main] and 2 * strength[other] > strength[main]
    return bool(alike and longest[other] < 2 * longest[main] and inner_parts(parts)[other])


def _with_pieces(parts: Components, main: int) -> np.ndarray:
    """Find a component and the pieces of its digit: bool (N,).

    A digit of a display is a chain of pieces: each is near the next, and all are alike.
    """
    longest = np.maximum(parts.height, parts.width)
    strength = parts.weight / parts.pixels
    usual = (parts.weight > LEAST_PIECE * parts.weight[main]) & (strength > 0.4 * strength[main])
    usual &= (inner_parts(parts) | ~inner_parts(parts)[main]) & ~_around(parts, main)
    found = usual & (longest <= 1.2 * longest[main]) & _near(parts, main, NEAR * longest[main])
    found[main] = True
    alike = usual & (strength > ALIKE * strength[main]) & (longest <= LONGER * longest[main])
    # A display's segment reaches from joint to joint with its thickness; a level one may be the shorter kind.
    beside = alike & _near(parts, main, CHAIN_NEAR * longest[main])
    size = int(longest[beside].max(initial=longest[main]))
    joint = size + min(int(parts.height[main]), int(parts.width[main]))
    links = alike & (longest >= LINK * size)
    chain, seen = found.copy(), np.zeros(len(parts), bool)
    tall, wide = parts.extent(chain)
    # A chain only grows, so one that is too long already is none, and a page full of pieces is not searched.
    while max(tall, wide) <= CHAIN * joint and (new := chain & ~seen & links).any():
        following = int(np.argmax(new))
        seen[following] = True
        chain |= links & _near(parts, following, CHAIN_NEAR * joint)
        tall, wide = parts.extent(chain)
    if wide <= tall <= CHAIN * joint:
        found = chain
    return np.asarray(found & ~_underlines(parts, found))


def _underlines(parts: Components, found: np.ndarray) -> np.ndarray:
    """Find level bars below the rest of a digit's pieces (N,) and wider than that: bool (N,)."""
    bars = found & (parts.width > BAR * parts.height)
    rest = found & ~bars
    if not (bars.any() and rest.any()):
        return np.zeros(len(parts), bool)
    bottom, height = parts.bottom[rest].max(), parts.height[rest].max()
    wide = parts.right[rest].max() - parts.left[rest].min()
    # The lowest segment of a display is narrower than the digit, and all of a display is in pieces.
    least = wide if rest.sum() > 1 else SHORT_LINE * wide
    return np.asarray(bars & (parts.top >= bottom - UNDER * height) & (parts.width > least))


def _near(parts: Components, main: int, reach: float) -> np.ndarray:
    """Find the components no farther from another than `reach`, to either side: bool (N,)."""
    return np.asarray(
        (parts.left <= parts.right[main] + reach)
        & (parts.right >= parts.left[main] - reach)
        & (parts.top <= parts.bottom[main] + reach)
        & (parts.bottom >= parts.top[main] - reach)
    )


def _around(parts: Components, inner: int | np.ndarray) -> np.ndarray:
    """Tell whether a component's extent lies around another's on all sides: bool (N,), or (N,M) for `inner` (M,)."""
    top, bottom, left, right = (
        np.expand_dims(side, tuple(range(1, 1 + np.ndim(inner))))
        for side in (parts.top, parts.bottom, parts.left, parts.right)
    )
    return np.asarray(
        (top < parts.top[inner])
        & (bottom > parts.bottom[inner])
        & (left < parts.left[inner])
        & (right > parts.right[inner])
    )


def inner_parts(parts: Components) -> np.ndarray:
    """Find the components that do not touch the image's edge: bool (N,)."""
    height, width = parts.shape
    return (parts.top > 0) & (parts.left > 0) & (parts.bottom < height) & (parts.right < width)


def may_be_digits(parts: Components, cropped: np.ndarray | None = None) -> np.ndarray:
    """Tell which components are large, dark and wide enough for a digit: bool (N,).

    `cropped` (N,) tells which touch the image's edge because it is cut to them.
    """
    longest = np.maximum(parts.height, parts.width)
    large = (longest >= LEAST_LENGTH * max(parts.shape)) & (parts.pixels >= LEAST_PIXELS)
    dark = parts.weight >= LEAST_STRENGTH * parts.pixels
    width = parts.pixels / (longest * longest)  # of its strokes, as a share of its length
    inner = inner_parts(parts)
    thin = (width < HAIRLINE) & ~inner | (width < HAIRLINE / 2)
    if inner.all():
        return np.asarray(large & dark & ~thin)
    # A close crop touches all edges; what else lies along an edge is a table, a rail or a shadow, unless both of its
    # ends are free.
    height, length = parts.shape
    close = (parts.height >= CLOSE * height) & (parts.width >= CLOSE * length)
    close = close if cropped is None else close | cropped
    along = ~inner & ~close & (parts.contact > ALONG * longest) & ~_cut_ones(parts)
    return np.asarray(large & dark & ~thin & ~along)


def _cut_ones(parts: Components) -> np.ndarray:
    """Find slender components on one side of the image alone, as a 1 that this side cuts lengthwise: bool (N,)."""
    height, width = parts.shape
    sides = (
        (parts.top == 0).astype(int) + (parts.left == 0) + (parts.bottom == height) + (parts.right == width)
    )
    shorter, longer = np.minimum(parts.height, parts.width), np.maximum(parts.height, parts.width)
    return np.asarray((sides == 1) & (parts.height == longer) & (shorter < CUT * longer))


def _likelihood(parts: Components) -> np.ndarray:
    """Return how much a component looks like a digit: large, dark, central, whole, no bar and no frame."""
    height, width = parts.shape
    tall, wide = parts.height.astype(float), parts.width.astype(float)
    x = (parts.left + parts.right) / width - 1
    y = (parts.top + parts.bottom) / height - 1
    central = np.exp(-0.8 * (x * x + y * y))
    fill = parts.pixels / (tall * wide)
    score = parts.weight**0.5 * np.hypot(tall, wide) * central
    score = np.where(inner_parts(parts), score, 0.03 * score)
    score = np.where(wide > 2.5 * tall, 0.2 * score, score)
    score = np.where(framing_parts(parts) & (fill < MOST_FRAME), 0.05 * score, score)
    return np.asarray(np.where(may_be_digits(parts), score, 1e-6 * score))


def framing_parts(parts: Components) -> np.ndarray:
    """Find the components that lie around another that is large enough to be the digit: bool (N,)."""
    large = np.argsort(-parts.weight)[:MOST_INSIDE]
    inside = _around(parts, large)
    inside &= parts.weight[large] > LEAST_INSIDE * parts.weight[:, None]
    inside &= 5 * parts.height[large] > parts.height[:, None]
    return np.asarray(inside.any(axis=1))


def normalize_stroke_width(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale into a canvas and bring the strokes of any pen to their usual width: float32, at most (height,width).

    `strokes` float32 (h,w) in [0,1], cropped to the digit.
    """
    return _fitted(widen_strokes(strokes, height, width), height, width)


def widen_strokes(strokes: np.ndarray, height: int, width: int, *, display: bool = True) -> np.ndarray:
    """Widen strokes in a larger canvas, at least `FINE` pixels long, cropped to the digit: float32.

    Parameters
    ----------
    strokes
        float32 (h,w) in [0,1].
    height, width
        Of the space into which they will be scaled.
    display
        Whether they may be a digit of a display, whose segments are joined.
    """
    times = max(1, -(-FINE // max(height, width)))
    large = _fitted(strokes, height * times, width * times)
    large = _joined_segments(large) if display else large
    share = stroke_width(large > 0.5) / max(large.shape)
    if share < THINNEST:
        # Thick strokes reach farther out: the lines are first made smaller by as much.
        change = (USUAL - share) * max(height, width) * times / (1 + USUAL - share)
        padding = int(np.ceil(change / 2))
        fitted = _fitted(strokes, height * times - 2 * padding, width * times - 2 * padding)
        large = dilate(np.pad(fitted / fitted.max(), padding), change / 2)
    elif share > THICKEST:
        change = (share - THICKEST) * max(height, width) * times
        thin = 1 - dilate(1 - np.pad(large, 1), change / 2)
        large = thin if thin.max() > 0.5 else large
    return cropped(large)


def _joined_segments(strokes: np.ndarray) -> np.ndarray:
    """Close the gaps between a display's segments, which are three long pieces or more: float32 (h,w)."""
    parts = find_components(strokes > 0.5, strokes)
    if len(parts) < PIECES:
        return strokes
    edge = max(strokes.shape)
    if (np.maximum(parts.height, parts.width) >= SEGMENT * edge).sum() < PIECES:
        return strokes
    reach = GAP * edge / 2
    padding = int(reach) + 1
    wide = dilate(np.pad(strokes, padding), reach)
    return (1 - dilate(1 - wide, reach))[padding:-padding, padding:-padding]


def dilate(strokes: np.ndarray, radius: float) -> np.ndarray:
    """Return the largest value within a disc around each pixel: float32 (h,w)."""
    reach = int(radius)
    if reach == 0:
        return strokes
    best = strokes.copy()
    for dy in range(-reach, reach + 1):
        half = int(np.sqrt(radius * radius - dy * dy))
        row = strokes
        for _ in range(half):
            row = _wider_by_one(row)
        rows = slice(max(0, dy), len(row) + min(0, dy)), slice(max(0, -dy), len(row) + min(0, -dy))
        np.maximum(best[rows[0]], row[rows[1]], out=best[rows[0]])
    return best


def _wider_by_one(values: np.ndarray) -> np.ndarray:
    wide = values.copy()
    np.maximum(wide[:, 1:], values[:, :-1], out=wide[:, 1:])
    np.maximum(wide[:, :-1], values[:, 1:], out=wide[:, :-1])
    return wide


def cropped(values: np.ndarray) -> np.ndarray:
    """Crop strokes float32 (h,w) to their extent."""
    inside = values > 0.3
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fitted(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to the largest size that fits, aspect kept, antialiased: float32, at most (height,width)."""
    scale = min(height / values.shape[0], width / values.shape[1])
    size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
