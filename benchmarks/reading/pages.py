"""Draw images of numbers as people make them: lines of test digits on paper, boards, forms and screens."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from benchmarks.preprocessing import photo
from benchmarks.preprocessing.noise import noise
from benchmarks.preprocessing.pen import ink
from benchmarks.preprocessing.photo import CHALK, INK, MARKER, PENCIL, Pen, Setting
from benchmarks.preprocessing.screen import encode, painted
from benchmarks.reading import layout
from benchmarks.reading.layout import Glyph, along

LETTERS = "ACDEFHJKMNPRTUVWXY"  # without those that can be digits
LINE_PITCH = (1.45, 2.2)  # from one line to the next, in heights
MARGIN = 0.05  # of the page, that stays bare
SMALLEST = 20.0  # pixels: 2 % of the page's longer edge
PAGE_DIGITS = 20  # of the kind `page`


@dataclass(frozen=True)
class Kind:
    """The parameters of a kind of page; everything else is random.

    Attributes
    ----------
    count
        Fewest and most digits.
    lines
        How many lines there are.
    style
        How a line is set: `plain`, `dots`, `dashes`, `commas`, `boxes`, `letters` or `touching`.
    gap
        Bare ground between neighbours, in heights.
    slope
        Smallest and largest turn of the lines either way, in degrees.
    perspective
        How far the page's corners move, in shares of its edges.
    grain
        Deviation of the camera's noise, beside the usual.
    fill
        Smallest and largest share of the page that the writing takes, along the edge that it fills more; empty for
        half to all of it.
    setting
        The page, its light and the camera; None for a drawing on a screen.
    """

    count: tuple[int, int] = (2, 12)
    lines: int = 1
    style: str = "plain"
    gap: tuple[float, float] = (0.1, 0.4)
    slope: tuple[float, float] = (0.0, 2.5)
    perspective: float = 0.01
    grain: float = 0.0
    fill: tuple[float, float] | tuple[()] = ()
    setting: Setting | None = field(default_factory=lambda: Setting(pens=(INK, MARKER)))


KINDS: dict[str, Kind] = {
    "ink": Kind(setting=Setting(pens=(INK,))),
    "pencil": Kind(setting=Setting(pens=(PENCIL,))),
    "marker": Kind(setting=Setting(pens=(MARKER,))),
    "two lines": Kind(count=(6, 12), lines=2),
    "slope": Kind(slope=(4, 10)),
    "shade": Kind(setting=Setting(pens=(INK, MARKER), gradient=(2.0, 3.0), shadow=True)),
    "noise": Kind(grain=0.03),
    "perspective": Kind(lines=2, count=(6, 12), perspective=0.12),
    "ruled": Kind(setting=Setting(pens=(INK,), lines="ruled")),
    "squared": Kind(setting=Setting(pens=(INK,), lines="squared")),
    "whiteboard": Kind(setting=Setting(pens=(MARKER,), ground="whiteboard")),
    "chalk": Kind(setting=Setting(pens=(CHALK,), ground="blackboard")),
    "screen": Kind(setting=None),
    "dates, dots": Kind(count=(4, 8), style="dots"),
    "dates, dashes": Kind(count=(4, 8), style="dashes"),
    "amounts, commas": Kind(count=(4, 9), style="commas"),
    "boxes": Kind(count=(3, 9), style="boxes", setting=Setting(pens=(INK,))),
    "page of 20": Kind(count=(PAGE_DIGITS, PAGE_DIGITS), lines=2, slope=(0, 3), perspective=0.03),
    "page of 60": Kind(count=(40, 64), lines=8, slope=(0, 3), perspective=0.03),
    "small writing": Kind(count=(8, 30), lines=4, fill=(0.3, 0.6)),
    "small, screen": Kind(count=(20, 64), lines=8, fill=(0.3, 1.0), setting=None),
    "letters": Kind(count=(3, 8), style="letters"),
    "touching": Kind(count=(2, 2), style="touching"),
}


@dataclass(frozen=True)
class Page:
    """An image file, and the writing in it.

    Attributes
    ----------
    data
        The file.
    text
        Its digits in reading order, `?` for a letter, lines apart.
    boxes
        float (n,4): left, top, right and bottom of each of them in the image's pixels.
    """

    data: bytes
    text: str
    boxes: np.ndarray


def make(name: str, rows: np.ndarray, labels: np.ndarray, seed: int, enlargement: int = 2) -> Page:
    """Return an image of a kind; the same seed gives the same image.

    Parameters
    ----------
    name
        One of `KINDS`.
    rows, labels
        uint8 (n,28,28) and int (n,): the digits to choose from.
    seed
        Any number from 0.
    enlargement
        4 makes 12 megapixels of a photograph.
    """
    kind, rng = KINDS[name], np.random.default_rng([zlib.crc32(name.encode()), seed])
    size = photo.SCENE if rng.random() < 0.75 else photo.SCENE[::-1]
    setting = kind.setting or Setting(pens=(INK, MARKER))
    pen = setting.pens[rng.integers(len(setting.pens))]
    tip = rng.uniform(*pen.width)
    written = _composed(kind, rows, labels, tip, rng)
    placed, height = _on_page(written, kind, size, tip, rng)
    if kind.setting is None:
        image = _drawn(placed, size, tip * height, rng)
        return Page(encode(image), _text(placed), _boxes(placed, tip * height))
    image = _photographed(placed, setting, size, (pen, tip, height), kind.grain, rng)
    image = image.resize([edge * enlargement for edge in image.size], Image.Resampling.BILINEAR)
    boxes = _boxes(placed, tip * height) * enlargement
    return Page(photo.saved(image, setting, rng), _text(placed), boxes)


Lines = list[list[Glyph]]


def _composed(
    kind: Kind, rows: np.ndarray, labels: np.ndarray, tip: float, rng: np.random.Generator
) -> Lines:
    """Return lines of glyphs, placed in units of a digit's height; with the boxes of a form, if it is one."""
    total = int(rng.integers(kind.count[0], kind.count[1] + 1))
    counts = np.diff(np.round(np.linspace(0, total, kind.lines + 1)).astype(int))
    lines: Lines = []
    foot = 0.0
    for count in counts:
        digits = [_digit(rows, labels, tip, rng) for _ in range(count)]
        line = STYLES[kind.style](digits, kind, tip, rng)
        indent = rng.uniform(-0.5, 0.5)
        lines.append([glyph.moved(indent, foot) for glyph in line])
        foot += rng.uniform(*LINE_PITCH)
    return lines


def _digit(rows: np.ndarray, labels: np.ndarray, tip: float, rng: np.random.Generator) -> Glyph:
    """Return a digit of any row that the pen draws whole."""
    while True:
        index = int(rng.integers(len(rows)))
        if layout.is_faithful(rows[index], tip):
            return layout.digit(rows[index], int(labels[index]), rng)


def _plain(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
    return layout.set_line(digits, rng.uniform(*kind.gap, len(digits)).tolist(), tip)


def _with_marks(
    digits: Sequence[Glyph], groups: Sequence[int], mark: Callable[[np.random.Generator], Glyph], kind: Kind,
    tip: float, rng: np.random.Generator,
) -> list[Glyph]:  # fmt: skip
    """Set digits with a mark after each group but the last."""
    glyphs = list(digits)
    for position in sorted(np.cumsum(groups)[:-1].tolist(), reverse=True):
        glyphs.insert(position, mark(rng))
    return _plain(glyphs, kind, tip, rng)


def _dated(mark: Callable[[np.random.Generator], Glyph]) -> Callable[..., list[Glyph]]:
    def place(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
        """Set groups as in 7.3, 12.07, 1.12.99 and 24.12.2026."""
        choices = {4: (2, 2), 5: (1, 2, 2), 6: (2, 2, 2), 7: (1, 2, 4), 8: (2, 2, 4)}
        return _with_marks(digits, choices[len(digits)], mark, kind, tip, rng)

    return place


def _amount(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
    """Set groups as in 12,50 and 1,234,567."""
    count = len(digits)
    cents = (count - 2, 2)
    thousands = (*([count % 3] if count % 3 else []), *[3] * (count // 3))
    return _with_marks(digits, cents if rng.random() < 0.5 else thousands, layout.comma, kind, tip, rng)


def _boxed(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
    """Draw a form: every digit in a cell of its own, with cells apart or sharing their sides."""
    widest = max(float(np.ptp(glyph.points[:, 0])) for glyph in digits) + tip
    wide, tall = max(rng.uniform(1.15, 1.5), widest + rng.uniform(0, 0.3)), rng.uniform(1.4, 1.7)
    pitch = wide if rng.random() < 0.5 else wide + rng.uniform(0.12, 0.4)
    placed = []
    for number, glyph in enumerate(digits):
        middle = number * pitch
        free = max(0.0, (wide - np.ptp(glyph.points[:, 0])) / 2 - tip / 2)
        x = middle - (glyph.points[:, 0].max() + glyph.points[:, 0].min()) / 2
        placed.append(glyph.moved(x + rng.uniform(-0.9, 0.9) * free, rng.uniform(-0.08, 0.08)))
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * (wide / 2, tall / 2) + (
            middle,
            0,
        )
        sides = [along(start, end) for start, end in pairwise(corners)]
        placed.append(Glyph(np.concatenate(sides), "box"))
    return placed


def _lettered(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
    """Set digits with letters among them, and dirt."""
    glyphs = list(digits)
    for _ in range(rng.integers(1, 4)):
        name = LETTERS[rng.integers(len(LETTERS))]
        glyphs.insert(int(rng.integers(len(glyphs) + 1)), layout.letter(name, rng))
    line = _plain(glyphs, kind, tip, rng)
    low, high = line[0].points[:, 0].min(), line[-1].points[:, 0].max()
    return line + [layout.speck(rng).moved(rng.uniform(low, high), rng.choice([-1.0, 1.0])) for _ in range(3)]


def _touching(digits: Sequence[Glyph], kind: Kind, tip: float, rng: np.random.Generator) -> list[Glyph]:
    """Set neighbours whose strokes run into each other."""
    return layout.set_line(digits, [-tip + rng.uniform(-0.05, 0.3 * tip) for _ in digits], tip)


STYLES: dict[str, Callable[..., list[Glyph]]] = {
    "plain": _plain,
    "dots": _dated(layout.dot),
    "dashes": _dated(layout.dash),
    "commas": _amount,
    "boxes": _boxed,
    "letters": _lettered,
    "touching": _touching,
}


def _on_page(
    lines: Lines, kind: Kind, size: tuple[int, int], tip: float, rng: np.random.Generator
) -> tuple[Lines, float]:
    """Rotate, tilt, scale and place the lines; return them in pixels, and the digits' height there."""
    turn = np.radians(rng.uniform(*kind.slope) * rng.choice([-1, 1]))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    every = np.concatenate([glyph.points for line in lines for glyph in line])
    middle = (every.max(axis=0) + every.min(axis=0)) / 2
    span = float(np.ptp(every, axis=0).max())
    lean = rng.uniform(-1, 1, 2) * kind.perspective * 2 / span

    def projected(points: np.ndarray) -> np.ndarray:
        turned = (points - middle) @ rotation.T
        return np.asarray(turned / (1 + turned @ lean)[:, None])

    low, high = projected(every).min(axis=0) - tip, projected(every).max(axis=0) + tip
    inner = np.array(size) * (1 - 2 * MARGIN)
    largest = float((inner / (high - low)).min())
    if kind.fill:
        height = max(largest * rng.uniform(*kind.fill), min(largest, SMALLEST))
    else:
        height = min(
            largest, rng.uniform(0.5, 1) * largest if rng.random() < 0.6 else largest, 0.5 * min(size)
        )
        height = max(height, min(largest, 45.0))
    free = (inner - (high - low) * height) / 2
    offset = np.array(size) / 2 - (low + high) / 2 * height + rng.uniform(-1, 1, 2) * free
    return [
        [Glyph(projected(glyph.points) * height + offset, glyph.name) for glyph in line] for line in lines
    ], height


def _text(lines: Lines) -> str:
    return "\n".join("".join(glyph.name for glyph in line if len(glyph.name) == 1) for line in lines)


def _boxes(lines: Lines, tip: float) -> np.ndarray:
    own = [glyph.points for line in lines for glyph in line if len(glyph.name) == 1]
    return np.array([[*(each.min(axis=0) - tip / 2), *(each.max(axis=0) + tip / 2)] for each in own], float)


def _drawn(lines: Lines, size: tuple[int, int], tip: float, rng: np.random.Generator) -> Image.Image:
    """Draw on a screen: one colour on another."""
    written = [glyph.points for line in lines for glyph in line]
    cover = _inked(written, size, [tip] * len(written), 0.05, rng)
    shades = ((15, 15, 18), (250, 250, 250)) if rng.random() < 0.5 else ((235, 235, 235), (30, 31, 34))
    return painted(cover, *shades)


def _inked(
    written: Sequence[np.ndarray], size: tuple[int, int], tips: Sequence[float], uneven: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Draw with pens as wide as `tips`: float32 (h,w)."""
    cover = np.zeros(size[::-1], np.float32)
    for points, tip in zip(written, tips, strict=True):
        corner = np.maximum(np.floor(points.min(axis=0) - 2 * tip - 8), 0).astype(int)
        end = np.minimum(np.ceil(points.max(axis=0) + 2 * tip + 8).astype(int), size)
        own = ink(
            points - corner, (int(end[0] - corner[0]), int(end[1] - corner[1])), tip, rng, uneven=uneven
        )
        area = cover[corner[1] : end[1], corner[0] : end[0]]
        np.maximum(area, own, out=area)
    return cover


def _photographed(
    lines: Lines, setting: Setting, size: tuple[int, int], hand: tuple[Pen, float, float], grain: float,
    rng: np.random.Generator,
) -> Image.Image:  # fmt: skip
    """Photograph the lines on a page."""
    pen, tip, height = hand
    scene = photo.PhotoScene(
        photo.bare_ground(setting.ground, size, rng), np.array(size) / 2, height, 0.0, rng, size
    )
    if setting.lines != "none":
        photo.rule(scene, setting.lines)
    colour = np.array(pen.colours[rng.integers(len(pen.colours))], np.float32) / 255
    strength = rng.uniform(*pen.strength)
    printed = np.array([(60, 60, 64), (40, 90, 160), (170, 90, 60)][rng.integers(3)], np.float32) / 255
    every = [glyph for line in lines for glyph in line]
    if boxes := [glyph.points for glyph in every if glyph.name == "box"]:
        photo.lay(
            scene, 0.8 * _inked(boxes, size, [max(1.5, 0.025 * height)] * len(boxes), 0.0, rng), printed
        )
    hand_written = [glyph.points for glyph in every if glyph.name != "box"]
    tips = (tip * height * rng.uniform(0.93, 1.07, len(hand_written))).tolist()
    tooth = np.clip(1 + pen.grain * (noise(size, 1.6, rng) - 0.3), 0, 1)
    photo.lay(scene, _inked(hand_written, size, tips, pen.uneven, rng) * tooth * strength, colour)
    radiance = scene.reflectance * photo.lit(scene, setting)[..., None]
    if grain:
        radiance = radiance + grain * noise(size, 1, rng)[..., None]
    return photo.exposed(radiance, rng)
