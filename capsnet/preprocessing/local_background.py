"""Strokes on a page or a board: how far each pixel stands out from the ground beside it.

The ground is what remains when everything narrower than a wide brush is filled in (a morphological closing, or an
opening on a board), so that a shadow, a table beside the paper and a bright spot are ground, whatever their edges.
Where the light is uneven a wide brush reaches from a shadow's dark rim to brighter paper on both sides, and cannot
follow its round edge; there a second brush does the work, no wider than the strokes that the first one found ask for.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from PIL import Image

from capsnet.preprocessing.global_background import DEVIATION

BRUSH = 0.25  # of the longer edge: nothing narrower is ground
EVEN = 0.8  # a ground whose dark parts are at least this share of its bright ones
GRAIN = 8  # every so many rows and columns are enough to know that
STRONG = 0.5  # of the strongest contrast: no shadow's rim, but strokes
STROKES = 8  # stroke widths that the second brush is wide: where strokes meet they are wider
BRUSHES = (0.015, 0.03, 0.06, 0.12, BRUSH)  # for the polarity
POLARITY_EDGE = 240  # about the longer edge of the image in which the polarity is judged
WRITING_EDGE = 480  # the same where there are many digits, whose strokes are thin
# Sizes of tiles in pixels of that image, and how many at least have a range. A stroke that fills most of a tile does
# not fill most of a wider one.
TILES = ((16, 4), (48, 1), (96, 1))
LEAST_RANGE = 24  # of 255, between a tile's darkest and lightest pixels but one: less is bare ground
MOSTLY, CLEARLY = 0.5, 0.9  # where many digits are sought, and where one is
MIDDLE = 0.1  # of each edge that is left out where the polarity is judged: tables and window frames lie there
SAMPLED = 3  # every so many rows and columns are enough to know the ground's noise
MOST_NOISE = 0.1  # no camera is noisier
QUANTILES = (0.05, 0.3, 0.5)
QUANTILES_APART = 1.12  # the first two, in standard deviations of a normal distribution
DARKEST = 24  # of 255: on a ground nearly black, rounding alone would be contrast
LEAST_HEIGHT = 8  # of 255, for the polarity: fainter differences are noise


def stroke_contrast(grey: np.ndarray, dark: bool | None = None) -> tuple[np.ndarray, float]:
    """Return how far each pixel stands out from the ground beside it, whichever way the strokes do.

    Parameters
    ----------
    grey
        uint8 (h,w).
    dark
        Whether strokes are darker than the ground; None to judge it by `is_dark_on_light`.

    Returns
    -------
    contrast : np.ndarray
        float32 (h,w) in [0,1]: a share of the ground's brightness for ink, of the difference from white for chalk.
    noise : float
        Standard deviation of the bare ground's contrast.
    """
    smooth = blurred(grey)
    span = max(3, round(BRUSH * max(grey.shape)) | 1)
    if not (is_dark_on_light(grey) if dark is None else dark):
        grey, smooth = 255 - grey, 255 - smooth
    ground = morphological_closing(smooth, span)
    if _is_uneven(ground):
        ground = morphological_closing(smooth, min(span, _narrowest_brush(_contrast(ground, smooth))))
    contrast = _contrast(ground, grey)
    bare, noise = _bare_ground(contrast[::SAMPLED, ::SAMPLED])
    contrast -= np.float32(bare)
    contrast /= np.float32(1 - min(bare, 0.5))
    np.clip(contrast, 0, 1, out=contrast)
    return contrast, noise


def _contrast(ground: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return how much darker than the ground each pixel is: float32 (h,w), shares of the ground's brightness."""
    # Memory for a second array of floats takes longer than all the arithmetic.
    height = np.subtract(ground, grey, dtype=np.float32)
    height /= np.maximum(ground, DARKEST)
    return np.asarray(height)


def _is_uneven(ground: np.ndarray) -> bool:
    """Tell whether a shadow or a table may lie in the image."""
    low, high = quantiles(ground[::GRAIN, ::GRAIN], 0.05, 0.95)
    return low < EVEN * high


def _narrowest_brush(contrast: np.ndarray) -> int:
    """Return the width (odd) of a brush that surely fills in the strokes, judged by the strongest of them: pixels."""
    strong = contrast > STRONG * contrast.max()
    return max(3, round(STROKES * stroke_width(strong)) | 1)


def stroke_width(inside: np.ndarray) -> float:
    """Return the mean width of strokes bool (h,w) in pixels: twice their area over the length of their outline."""
    padded = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), bool)
    padded[1:-1, 1:-1] = inside
    crossings = np.count_nonzero(np.diff(padded, axis=0)) + np.count_nonzero(np.diff(padded, axis=1))
    # Counted in pixels' sides, a line in any direction is 4 / pi times as long on average.
    return 2 * np.count_nonzero(inside) / max(crossings * np.pi / 4, 1.0)


def _bare_ground(contrast: np.ndarray) -> tuple[float, float]:
    """Return the mean and deviation of the bare ground's contrast: the brush rests on the brightest grain."""
    low, high, middle = quantiles(contrast, *QUANTILES)
    away = np.sort(np.abs(contrast - middle), axis=None)
    noise = DEVIATION * float((away[(len(away) - 1) // 2] + away[len(away) // 2]) / 2)
    if noise <= MOST_NOISE:
        return middle, noise
    # More than half is ink: a close crop. Its lightest part is ground all the same.
    return high, (high - low) / QUANTILES_APART


def quantiles(values: np.ndarray, *shares: float) -> list[float]:
    """Give the quantiles that NumPy's function gives, in a fifth of the time: sorting all is quicker than choosing."""
    ordered = np.sort(values, axis=None)
    found = []
    for share in shares:
        place = share * (len(ordered) - 1)
        low, high = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
        step, part = float(high - low), place - int(place)
        found.append(float(low) + step * part if part < 0.5 else float(high) - step * (1 - part))
    return found


def blurred(grey: np.ndarray) -> np.ndarray:
    """Return the mean of the 3 x 3 pixels around each, uint8 (h,w): Pillow's BoxBlur(1), in an eighth of the time."""
    wide = np.concatenate([grey[:, :1], grey, grey[:, -1:]], axis=1).astype(np.uint16)
    across = _thirds(wide.T).T
    return _thirds(np.concatenate([across[:1], across, across[-1:]])).astype(np.uint8)


def _thirds(values: np.ndarray) -> np.ndarray:
    """Return the rounded mean of every three rows: uint16 (h,w), shorter by two."""
    total: np.ndarray = values[:-2] + values[2:]
    total += values[1:-1]
    total += 1
    total //= 3
    return total


def morphological_closing(values: np.ndarray, span: int) -> np.ndarray:
    """Fill in dark parts narrower than a square of `span` (odd) pixels: uint8 (h,w).

    The image goes on beyond its edges as it ends, so that a table in its corner is as wide as a table is.
    """
    # Each axis is made longer only while it must be: the fewer pixels, the quicker.
    tall = running_extremum(_continued(values, span - 1, 0), span, 0, np.maximum)
    large = running_extremum(_continued(tall, span - 1, 1), span, 1, np.maximum)
    return running_extremum(running_extremum(large, span, 1, np.minimum), span, 0, np.minimum)


def _continued(values: np.ndarray, padding: int, axis: int) -> np.ndarray:
    """Repeat the pixels at both ends of an axis `padding` times."""
    if padding == 0:
        return values
    height, width = values.shape
    longer = np.empty(
        (height + 2 * padding, width) if axis == 0 else (height, width + 2 * padding), values.dtype
    )
    along = longer if axis == 0 else longer.T
    own = values if axis == 0 else values.T
    along[:padding], along[padding:-padding], along[-padding:] = own[0], own, own[-1]
    return longer


def running_extremum(values: np.ndarray, span: int, axis: int, extreme: np.ufunc) -> np.ndarray:
    """Return the extreme of each `span` neighbours along an axis of (h,w) or (n,), by doubling: shorter by span - 1."""
    if values.ndim == 1 or axis == 0:
        return _extremes(values, span, extreme)
    # One long row is quicker than many short ones. Values that run over from row to row lie behind the kept ones.
    height, width = values.shape
    values = _extremes(values.reshape(-1), span, extreme)
    return as_strided(values, (height, width - span + 1), (width * values.itemsize, values.itemsize))


def _extremes(values: np.ndarray, span: int, extreme: np.ufunc) -> np.ndarray:
    reach = 1
    while reach < span:
        step = min(reach, span - reach)
        values = extreme(values[: len(values) - step], values[step:])
        reach += step
    return values


def is_dark_on_light(grey: np.ndarray, agreed: float = CLEARLY, edge: int = POLARITY_EDGE) -> bool:
    """Tell whether strokes are darker than the ground, uint8 (h,w): by tiles if they agree, or else by brushes.

    Between the lines of small writing there is more ground than ink, and it is no wider than a brush. So brushes take
    it for light strokes. Strokes as wide as a tile can be its median, but not that of a wider tile, so tiles of all
    sizes have to agree.

    Parameters
    ----------
    agreed
        Share of all differences from the tiles' medians, by which those on one side are more.
    edge
        Pixels of the longer edge, about, of the image that brushes see.
    """
    small = np.asarray(Image.fromarray(grey).reduce(max(1, round(max(grey.shape) / WRITING_EDGE))))
    sides = (_side_of_strokes(small, tile, least, agreed) for tile, least in TILES)
    first = next(sides)
    if first is None or any(side != first for side in sides):
        return _is_filled_lighter(grey, edge)
    return first


def _side_of_strokes(grey: np.ndarray, tile: int, least: int, agreed: float) -> bool | None:
    """Tell whether pixels are darker than the ground of their tile, its median; None where that is not clear."""
    rows, columns = grey.shape[0] // tile, grey.shape[1] // tile
    tiles = grey[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile).swapaxes(1, 2)
    ordered = np.sort(tiles.reshape(-1, tile * tile), axis=1).astype(np.int16)
    ordered = ordered[ordered[:, -2] - ordered[:, 1] > LEAST_RANGE]
    if len(ordered) < least:
        return None
    away = ordered - ordered[:, tile * tile // 2 :][:, :1]
    darker, lighter = -float(np.minimum(away, 0).sum()), float(np.maximum(away, 0).sum())
    return darker > lighter if abs(darker - lighter) > agreed * (darker + lighter) else None


def _is_filled_lighter(grey: np.ndarray, edge: int) -> bool:
    """Tell whether brushes of many widths fill in more dark parts than light ones.

    What lies between the strokes of a digit is as light as the strokes are dark, but wider, so that only wide brushes
    fill it; a narrow brush therefore counts for more.
    """
    small = blurred(np.asarray(Image.fromarray(grey).reduce(max(1, round(max(grey.shape) / edge)))))
    # In a larger image the brushes stay as narrow as they are in pixels: they are to find thinner strokes.
    usual = max(small.shape) * POLARITY_EDGE / edge
    spans = sorted({max(3, round(share * usual) | 1) for share in BRUSHES})
    dark = sum(_energy(morphological_closing(small, span), small) / span**1.5 for span in spans)
    light = sum(_energy(morphological_closing(255 - small, span), 255 - small) / span**1.5 for span in spans)
    if dark == light and edge > POLARITY_EDGE:  # the strokes are wider than the widest of these brushes
        return _is_filled_lighter(grey, POLARITY_EDGE)
    return bool(dark >= light)


def _energy(filled: np.ndarray, values: np.ndarray) -> float:
    """Return the sum of squares of what was filled in, in the middle of the image."""
    rows, columns = (slice(int(edge * MIDDLE), edge - int(edge * MIDDLE)) for edge in values.shape)
    height = filled[rows, columns] - values[rows, columns]  # uint8: nothing is filled in below what was there
    height *= height > LEAST_HEIGHT
    return float(np.square(height, dtype=np.uint16).sum())
