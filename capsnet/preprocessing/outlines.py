"""Fill outline digits: a contour around a body as bare as the ground; the body becomes ink, as if written."""

import numpy as np

from capsnet.preprocessing.connected_components import Components, find_components
from capsnet.preprocessing.local_background import blurred, quantiles, running_extremum, stroke_width

MOST_INK = 0.25  # of the square of its length, that a contour covers
LONGEST = 0.75  # of the contour's length, that the body at least has
WINDING = 7.5  # widths: a body is longer than the hole of a narrow 0
STRAIGHT = 5.0  # widths: the same of a straight body, which is as wide at its ends as in its middle
EVEN = 0.8  # least width over the largest: of 350 narrow zeros' holes at most 0.74, of straight bodies 0.92 and more
SLICES = 20  # of a body's length, in which its width is measured; a tenth of them at each end is left out
WIDEST = 1.6  # mean widths: nowhere is a stroke wider, but in a few corners
CORNERS = 0.05  # of the body
ROUND = 0.7  # of its extent, that a contour with all in it covers if it is a ring or a square
FEW = 0.05  # of the contour: other ink in a ring that is no digit
PALE = 0.7  # of the contour's contrast, that an outline digit filled with a fainter colour has on average
FAINT_BODY = 0.6  # of the contour's contrast, below which a pixel is the body's
MOST_WIDTH = 0.3  # of its length


def fill_outline(contrast: np.ndarray, parts: Components) -> np.ndarray | None:
    """Fill the body of an outline digit with its contour's contrast: float32 (h,w); None where there is none.

    Parameters
    ----------
    contrast
        float32 (h,w) in [0,1].
    parts
        Components of its strokes.
    """
    outer = int(np.argmax(parts.height * parts.width))
    longest = max(int(parts.height[outer]), int(parts.width[outer]))
    rows, columns = parts.window(outer)
    ink = parts.mask(np.ones(len(parts), bool))[rows, columns]
    values = contrast[rows, columns]
    own = int(parts.pixels[outer])
    body = _body(ink, own, longest) if own <= MOST_INK * longest * longest else None
    if body is None:
        # A body filled with another colour is fainter than its contour, and all strokes are darker on average.
        level = quantiles(values[ink], 0.9)[0]
        if parts.weight[outer] > PALE * level * own:
            return None
        dark = ink & (values > FAINT_BODY * level)
        if dark.sum() <= MOST_INK * longest * longest:
            body = _body(dark, int(dark.sum()), longest)
    if body is None:
        return None
    filled = contrast.copy()
    filled[rows, columns] = np.where(body, np.float32(np.percentile(values[ink & ~body], 75)), values)
    return filled


def _body(ink: np.ndarray, contour: int, longest: int) -> np.ndarray | None:
    """Find the body within a contour of so many pixels, in ink bool (h,w) cropped to it: bool (h,w)."""
    if max(_doubled(ink), _doubled(ink.T)) < LONGEST * longest:
        return None
    # The extent is one pixel larger on each side, so that all bare ground around the contour is one component.
    bare = np.pad(~ink, 1, constant_values=True)
    regions = find_components(bare, np.ones(bare.shape, np.float32))
    size = np.maximum(regions.height, regions.width)
    inner = (regions.top > 0) & (size >= LONGEST * longest)
    if not inner.any():
        return None
    main = int(np.argmax(np.where(inner, regions.pixels, 0)))
    enclosed = int(regions.pixels[regions.top > 0].sum())
    # A ring or a frame around a digit is round or square, and what lies in it is no contour around a hole.
    holes, other_ink = enclosed - regions.pixels[main], ink.sum() - contour
    if enclosed + ink.sum() > ROUND * ink.size and other_ink > holes + FEW * contour:
        return None
    body = regions.mask(np.arange(len(regions)) == main)
    # The rough edge of an image in black and white makes a hole seem narrower.
    smooth = blurred(body * np.uint8(255)) > 127
    return body[1:-1, 1:-1] if _is_stroke(smooth, longest) else None


def _doubled(ink: np.ndarray) -> int:
    """Count the rows of ink bool (h,w) with two strokes or more: all rows of a body have ink at both sides."""
    begins = (ink[:, 1:] > ink[:, :-1]).sum(axis=1) + ink[:, 0]
    return int((begins > 1).sum())


def _is_stroke(body: np.ndarray, longest: int) -> bool:
    """Tell whether a region bool (h,w) is long, winding and as wide everywhere as a stroke."""
    width = stroke_width(body)
    if not 0 < width <= MOST_WIDTH * longest:
        return False
    if (length := body.sum() / (width * width)) < WINDING:
        return bool(length >= STRAIGHT) and _is_straight(body)
    span = round(WIDEST * width)
    if span < min(body.shape):
        wide = running_extremum(running_extremum(body, span, 0, np.minimum), span, 1, np.minimum)
        return bool(wide.sum() < CORNERS * body.sum())
    return True


def _is_straight(body: np.ndarray) -> bool:
    """Tell whether a region bool (h,w) is as wide all along its longer axis."""
    rows, columns = np.nonzero(body)
    points = np.stack([columns - columns.mean(), rows - rows.mean()])
    along = np.linalg.eigh(points @ points.T)[1][:, -1] @ points
    width, _ = np.histogram(along, SLICES)
    inner = width[SLICES // 10 : -SLICES // 10]
    return bool(inner.min() >= EVEN * width.max())
