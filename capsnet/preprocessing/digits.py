"""The digit among all that stands out from the ground, at the width of stroke that a network was trained on."""

import numpy as np
from PIL import Image

from capsnet.preprocessing.connected_components import Components, find_components
from capsnet.preprocessing.local_background import stroke_width
from capsnet.preprocessing.ruled_lines import remove_ruled_lines

NOISE_LEVELS = 4.0  # standard deviations from the ground that are still ground
LEAST_CONTRAST = 0.06  # fainter differences are no stroke
FAINTEST = 0.35  # of a digit's own strokes; what is fainter beside them is not a part of it
FULL = 0.8  # of the strokes' level, from which on they count as full
NEAR = 0.12  # of the digit's height: pieces no farther away belong to it
LEAST_PIECE = 0.004  # of the digit's weight

MOST_INSIDE = 20  # components, the heaviest, that may have a frame around them
LEAST_INSIDE = 0.1  # of the frame's weight
MOST_FRAME = 0.3  # of its box, that a frame covers

FINE = 80  # pixels to the longer edge of the box in which strokes are brought to their width
USUAL = 0.125  # width of MNIST's strokes, in shares of the digit's longer edge
THINNEST, THICKEST = 0.10, 0.16  # as they are between these


def segment_digits(contrast: np.ndarray, noise: float, count: int = 1) -> np.ndarray | None:
    """Crop to the digit, or to the likeliest `count`, of which several may be one by overlap; None where there is none.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1] from `paper.stroke_contrast`.
    noise
        Standard deviation of the bare ground's contrast.
    count
        How many digits to look for.

    Returns
    -------
    np.ndarray or None
        float32 (h,w): 1 on full strokes, 0 on the ground.
    """
    floor = max(NOISE_LEVELS * noise, LEAST_CONTRAST)
    parts = find_components(contrast > floor, contrast)
    if _streaked(parts):
        contrast = remove_ruled_lines(contrast, floor)
        parts = find_components(contrast > floor, contrast)
    if not len(parts):
        return None
    # The digit's own strokes say how faint a part of it can be; what is fainter may have joined it to something else.
    mask = parts.mask(_digits(parts, count))
    mask &= contrast > FAINTEST * np.percentile(contrast[mask], 75)
    parts = find_components(mask, contrast)
    mask = parts.mask(_digits(parts, count))
    level = float(np.percentile(contrast[mask], 75))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return np.where(mask[box], np.minimum(contrast[box] / (FULL * level), np.float32(1)), np.float32(0))


def _streaked(parts: Components) -> bool:
    """Whether something runs from an edge of the picture through half of it."""
    height, width = parts.shape
    return bool(np.any(~_inner(parts) & ((2 * parts.width > width) | (2 * parts.height > height))))


def _digits(parts: Components, count: int) -> np.ndarray:
    """Which components are digits: the likeliest, as many as are looked for, and the pieces near them. bool (N,)."""
    likelihood = _likelihood(parts)
    main = int(np.argmax(likelihood))
    found = _with_pieces(parts, main)
    for _ in range(1, count):
        likelihood[found] = 0
        other = int(np.argmax(likelihood))
        if likelihood[other] == 0 or not _is_another(parts, other, main):
            break
        found |= _with_pieces(parts, other)
    return found


def _is_another(parts: Components, other: int, main: int) -> bool:
    """Whether a component is as large and as dark as a second digit beside the first: no speck, and no frame."""
    longest = np.maximum(parts.height, parts.width)
    strength = parts.weight / parts.pixels
    alike = 2 * longest[other] > longest[main] and 2 * strength[other] > strength[main]
    return bool(alike and longest[other] < 2 * longest[main] and _inner(parts)[other])


def _with_pieces(parts: Components, main: int) -> np.ndarray:
    """A component and the pieces near it: bool (N,)."""
    reach = NEAR * max(parts.height[main], parts.width[main])
    near = (
        (parts.left <= parts.right[main] + reach)
        & (parts.right >= parts.left[main] - reach)
        & (parts.top <= parts.bottom[main] + reach)
        & (parts.bottom >= parts.top[main] - reach)
    )
    strength = parts.weight / parts.pixels
    near &= (parts.weight > LEAST_PIECE * parts.weight[main]) & (strength > 0.4 * strength[main])
    near &= _inner(parts) | ~_inner(parts)[main]
    longest = 1.2 * max(parts.height[main], parts.width[main])
    near &= (parts.height <= longest) & (parts.width <= longest) & ~_around(parts, main)
    near[main] = True
    return np.asarray(near)


def _around(parts: Components, inner: int | np.ndarray) -> np.ndarray:
    """Whether a component's box lies around another's on all sides: bool (N,), or (N,M) for `inner` (M,)."""
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


def _inner(parts: Components) -> np.ndarray:
    """Components that do not touch the picture's edge: bool (N,)."""
    height, width = parts.shape
    return (parts.top > 0) & (parts.left > 0) & (parts.bottom < height) & (parts.right < width)


def _likelihood(parts: Components) -> np.ndarray:
    """How much a component looks like somebody's digit: large, dark, central, whole, no bar and no frame."""
    height, width = parts.shape
    tall, wide = parts.height.astype(float), parts.width.astype(float)
    x = (parts.left + parts.right) / width - 1
    y = (parts.top + parts.bottom) / height - 1
    central = np.exp(-0.8 * (x * x + y * y))
    fill = parts.pixels / (tall * wide)
    score = parts.weight**0.5 * np.hypot(tall, wide) * central
    score = np.where(_inner(parts), score, 0.03 * score)
    score = np.where(wide > 2.5 * tall, 0.2 * score, score)
    return np.asarray(np.where(_frames(parts) & (fill < MOST_FRAME), 0.05 * score, score))


def _frames(parts: Components) -> np.ndarray:
    """Components that lie around another that is large enough to be the digit: bool (N,)."""
    large = np.argsort(-parts.weight)[:MOST_INSIDE]
    inside = _around(parts, large)
    inside &= parts.weight[large] > LEAST_INSIDE * parts.weight[:, None]
    inside &= 5 * parts.height[large] > parts.height[:, None]
    return np.asarray(inside.any(axis=1))


def normalize_stroke_width(strokes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale into a box and bring the strokes to their usual width, whatever the pen: float32, at most (height,width).

    `strokes` float32 (h,w) in [0,1], cropped to the digit.
    """
    times = max(1, -(-FINE // max(height, width)))
    large = _fitted(strokes, height * times, width * times)
    share = stroke_width(large > 0.5) / max(large.shape)
    if share < THINNEST:
        # Thick strokes reach farther out: the lines are first made smaller by as much.
        change = (USUAL - share) * max(height, width) * times / (1 + USUAL - share)
        room = int(np.ceil(change / 2))
        fitted = _fitted(strokes, height * times - 2 * room, width * times - 2 * room)
        large = dilate(np.pad(fitted / fitted.max(), room), change / 2)
    elif share > THICKEST:
        change = (share - THICKEST) * max(height, width) * times
        thin = 1 - dilate(1 - np.pad(large, 1), change / 2)
        large = thin if thin.max() > 0.5 else large
    return _fitted(_cropped(large), height, width)


def dilate(strokes: np.ndarray, radius: float) -> np.ndarray:
    """Largest value within a disc around each pixel: float32 (h,w)."""
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


def _cropped(values: np.ndarray) -> np.ndarray:
    inside = values > 0.3
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fitted(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to the largest size that fits, aspect kept, antialiased: float32, at most (height,width)."""
    scale = min(height / values.shape[0], width / values.shape[1])
    size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
