"""Every kind of picture that people make, by name: from a data-set row to the bytes of a file."""

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from tests.scenes import screen
from tests.scenes.photo import CHALK, INK, MARKER, PENCIL, PENS, Setting, photograph

Maker = Callable[[np.ndarray, np.random.Generator], bytes]


def _photo(**settings: object) -> Maker:
    setting = Setting(**settings)  # type: ignore[arg-type]
    return lambda row, rng: photograph(row, setting, rng)


def _transparent(colour: tuple[int, int, int]) -> Maker:
    return lambda row, rng: screen.transparent(row, rng, colour)


PHOTOS: dict[str, Maker] = {
    "ink": _photo(pens=(INK,)),
    "pencil": _photo(pens=(PENCIL,)),
    "marker": _photo(pens=(MARKER,)),
    "yellowed": _photo(ground="yellowed"),
    "ruled": _photo(lines="ruled"),
    "squared": _photo(lines="squared"),
    "gradient": _photo(gradient=(3.0, 3.0)),
    "shadow": _photo(shadow=True),
    "turned": _photo(turn=(5.0, 15.0)),
    "sideways": _photo(orientation=(3, 6, 8)),
    "stray": _photo(stray=True),
    "edge": _photo(edge=True),
    "quality-60": _photo(quality=(60, 60)),
    "whiteboard": _photo(pens=(MARKER,), ground="whiteboard"),
    "chalk": _photo(pens=(CHALK,), ground="blackboard"),
    "heic": _photo(form="HEIF"),
}

DRAWINGS: dict[str, Maker] = {
    "screenshot": screen.screenshot,
    "transparent-black": _transparent((0, 0, 0)),
    "transparent-white": _transparent((255, 255, 255)),
    "transparent-colour": _transparent((190, 40, 60)),
    "palette": screen.palette,
    "16-bit": screen.sixteen_bits,
    "cmyk": screen.cmyk,
    "grey-alpha": screen.grey_alpha,
    "1-bit": screen.one_bit,
    "progressive": screen.progressive,
    "animated": screen.animated,
    "thin": screen.thin,
    "thick": screen.thick,
    "tiny": screen.tiny,
    "canvas": screen.canvas,
}

DIGITS = PHOTOS | DRAWINGS


def make(kind: str, row: np.ndarray, number: int) -> bytes:
    """The file of a kind from a row uint8 (28,28); the same number gives the same file."""
    return DIGITS[kind](row, np.random.default_rng([zlib.crc32(kind.encode()), number]))


def examples(kind: str, rows: np.ndarray) -> Iterator[bytes]:
    """One file for each of the rows uint8 (n,28,28)."""
    return (make(kind, row, number) for number, row in enumerate(rows))
