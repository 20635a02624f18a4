"""Set handwritten digits and marks in lines: points in units of a digit's height, before any page is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.preprocessing.pen import INSIDE, ink, trace, undrawn_share
from capsnet.preprocessing.connected_components import find_components

BINS = 24  # of the height in which the gap between neighbours is measured
REACH = 0.75  # half of the height that the bins cover
NEAR_BINS = 2  # neighbours that are this near above or below count too
FAINT = 40  # of 255: anything brighter in a row is a stroke
LEVELS = (FAINT, INSIDE, 180)  # of 255, at which a row's loops are counted
DRAWN = 60  # pixels of a digit's height, where it is drawn to be compared with its row
UNDRAWN = 0.05  # of a row's ink, that the pen may leave out in one place: more is a filled loop
BAR = 1.3  # width over height, from which on a piece is a bar
PRESSED = 1.1  # widths of the tip, where a hand presses hardest
MARK_STEP = 0.008  # between points of a mark


@dataclass(frozen=True)
class Glyph:
    """A digit or mark written with a pen.

    Attributes
    ----------
    points
        float (n,2), x before y, in units of a digit's height; y grows downward, 0 is the line's middle.
    name
        The digit, `?` for anything no digit, or nothing for a mark that a reader leaves out.
    """

    points: np.ndarray
    name: str

    def moved(self, x: float, y: float = 0.0) -> "Glyph":
        """Return the glyph moved by (x, y)."""
        return Glyph(self.points + np.array([x, y]), self.name)


def is_faithful(row: np.ndarray, tip: float) -> bool:
    """Tell whether a pen draws as many strokes and loops as the row has, and nothing beside its digit.

    Centre lines of faint rows break, and a thick pen closes a small loop: no person could read the result. A small loop
    is grey inside, so the row's loops are counted at several levels. A loop filled with ink has no centre line around
    it. Some rows show scraps of a neighbour beside the digit, which the pen would make strokes of: 11 of a 1.
    """
    if undrawn_share(row) > UNDRAWN:
        return False
    points = trace(row).points * DRAWN + DRAWN
    drawn = (
        ink(points, (2 * DRAWN, 2 * DRAWN), PRESSED * tip * DRAWN, np.random.default_rng(0), uneven=0.0) > 0.5
    )
    strokes, loops = _pieces(drawn), _pieces(~drawn)
    bright = [np.pad(row > level, 1) for level in LEVELS]
    counts = [(_pieces(mask), _pieces(~mask)) for mask in bright]  # strokes and loops, faint ones first
    if strokes > counts[0][0] or loops < max(each[1] for each in counts) or _has_scraps(drawn):
        return False
    return (strokes, loops) in counts[: LEVELS.index(INSIDE) + 1]


def _pieces(mask: np.ndarray) -> int:
    return len(find_components(mask, mask.astype(np.float32)))


def _has_scraps(drawn: np.ndarray) -> bool:
    """Tell whether a dot or an upright stroke stands beside the largest piece. The loose bar of a 5 may."""
    parts = find_components(drawn, drawn.astype(np.float32))
    largest = int(np.argmax(parts.pixels))
    beside = (parts.left >= parts.right[largest]) | (parts.right <= parts.left[largest])
    return bool((beside & (parts.width < BAR * parts.height)).any())


def digit(row: np.ndarray, label: int, rng: np.random.Generator) -> Glyph:
    """Return a data-set row's digit, rotated, scaled and raised a little as in handwriting."""
    points = trace(row).turned(rng.uniform(-4, 4)).points
    return Glyph(points * np.clip(rng.normal(1, 0.05), 0.88, 1.12) + (0, rng.normal(0, 0.025)), str(label))


def dot(rng: np.random.Generator) -> Glyph:
    """Draw a full stop on the line's foot."""
    start = np.array([0.0, 0.46 + rng.uniform(-0.03, 0.03)])
    return _mark([(start, start + rng.uniform(-0.02, 0.02, 2))])


def comma(rng: np.random.Generator) -> Glyph:
    """Draw a comma that begins on the line's foot and goes below it."""
    start = np.array([0.0, 0.42 + rng.uniform(-0.03, 0.03)])
    return _mark([(start, start + np.array([-rng.uniform(0.03, 0.1), rng.uniform(0.14, 0.24)]))])


def dash(rng: np.random.Generator) -> Glyph:
    """Draw a dash at the line's middle."""
    half = np.array([rng.uniform(0.12, 0.24), rng.uniform(-0.03, 0.03)])
    middle = np.array([0.0, rng.uniform(-0.06, 0.1)])
    return _mark([(middle - half, middle + half)])


def letter(name: str, rng: np.random.Generator) -> Glyph:
    """Draw a capital letter along the centre lines of a printed one."""
    size = 28
    canvas = Image.new("L", (4 * size, 4 * size))
    font = ImageFont.load_default(3 * size)
    left, top, right, bottom = font.getbbox(name)
    place = ((4 * size - (right - left)) / 2 - left, (4 * size - (bottom - top)) / 2 - top)
    ImageDraw.Draw(canvas).text(place, name, fill=255, font=font)
    row = np.asarray(canvas.resize((size, size), Image.Resampling.BOX))
    shape = np.array([rng.uniform(0.85, 1.1), rng.uniform(0.9, 1.05)])
    return Glyph(trace(row).turned(rng.uniform(-8, 8)).points * shape, "?")


def speck(rng: np.random.Generator) -> Glyph:
    """Draw dirt: a short stroke anywhere near the line."""
    start = np.array([0.0, rng.uniform(-0.6, 0.6)])
    return _mark([(start, start + rng.uniform(-0.07, 0.07, 2))])


def _mark(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> Glyph:
    return Glyph(np.concatenate([along(*line) for line in lines]), "")


def along(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Place points along a line, close enough for a pen: (n,2)."""
    count = max(2, int(np.hypot(*(end - start)) / MARK_STEP))
    return np.asarray(start + np.linspace(0, 1, count)[:, None] * (end - start))


def set_line(glyphs: Sequence[Glyph], gaps: Sequence[float], tip: float) -> list[Glyph]:
    """Set glyphs in a line, each as far from the one before as its gap says.

    Parameters
    ----------
    glyphs
        In order.
    gaps
        Bare ground before each, in units of the height; the first is not used. Negative gaps touch.
    tip
        Width of the pen, in units of the height.
    """
    placed = [glyphs[0]]
    for glyph, gap in zip(glyphs[1:], gaps[1:], strict=True):
        # A dot may share no height with the glyph before it, so the one before that is kept at a distance too.
        offset = max(_offset(before, glyph) for before in placed[-2:])
        placed.append(glyph.moved(offset + gap + tip))
    return placed


def _offset(before: Glyph, after: Glyph) -> float:
    """Return how far to move `after` so that its centre lines just meet those of `before`."""
    reaches, starts = _profile(before.points, 1), _profile(after.points, -1)
    distance = (reaches + starts)[np.isfinite(reaches) & np.isfinite(starts)]
    if len(distance):
        return float(distance.max())
    return float(before.points[:, 0].max() - after.points[:, 0].min()) - 0.1


def _profile(points: np.ndarray, sign: int) -> np.ndarray:
    """Return how far points reach to the right (sign 1) or left (sign -1) at each height: (BINS,), -inf without any."""
    bins = np.clip(((points[:, 1] / REACH + 1) * BINS / 2).astype(int), 0, BINS - 1)
    reach = np.full(BINS + 2 * NEAR_BINS, -np.inf)
    for shift in range(2 * NEAR_BINS + 1):
        np.maximum.at(reach, bins + shift, sign * points[:, 0])
    return reach[NEAR_BINS:-NEAR_BINS]
