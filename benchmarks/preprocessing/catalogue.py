"""Make every kind of image that people make, by name: from a data-set row to the bytes of a file."""

import zlib
from collections.abc import Callable

import numpy as np

from benchmarks.preprocessing import screen
from benchmarks.preprocessing.photo import CHALK, ENLARGEMENT, INK, MARKER, PENCIL, Setting, photograph
from benchmarks.preprocessing.product_photo import product

Maker = Callable[[np.ndarray, np.random.Generator], bytes]


def _transparent(colour: tuple[int, int, int]) -> Maker:
    return lambda row, rng: screen.transparent(row, rng, colour)


PHOTOS = {
    "ink": Setting(pens=(INK,)),
    "pencil": Setting(pens=(PENCIL,)),
    "marker": Setting(pens=(MARKER,)),
    "yellowed": Setting(ground="yellowed"),
    "ruled": Setting(lines="ruled"),
    "squared": Setting(lines="squared"),
    "gradient": Setting(gradient=(3.0, 3.0)),
    "shadow": Setting(shadow=True),
    "turned": Setting(turn=(5.0, 15.0)),
    "sideways": Setting(orientation=(3, 6, 8)),
    "stray": Setting(stray=True),
    "edge": Setting(edge=True),
    "quality-60": Setting(quality=(60, 60)),
    "whiteboard": Setting(pens=(MARKER,), ground="whiteboard"),
    "chalk": Setting(pens=(CHALK,), ground="blackboard"),
    "heic": Setting(form="HEIF"),
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

KINDS = (*PHOTOS, *DRAWINGS)  # made from digits

PRODUCTS: dict[str, Maker] = {  # made from garments
    "product-white": lambda row, rng: product(row, rng, white=True),
    "product-plain": lambda row, rng: product(row, rng, white=False),
}

# Kinds that are shown together.
GROUPS = {
    "paper": ("ink", "pencil", "marker", "yellowed", "ruled", "squared"),
    "camera": ("gradient", "shadow", "turned", "sideways", "stray", "edge", "quality-60", "heic"),
    "boards-and-screens": ("whiteboard", "chalk", "screenshot", "canvas", "thin", "thick", "tiny"),
    "files": (
        "transparent-black",
        "transparent-white",
        "transparent-colour",
        "palette",
        "16-bit",
        "cmyk",
        "grey-alpha",
        "1-bit",
        "progressive",
        "animated",
    ),
    "products": ("product-white", "product-plain"),
}


def make(kind: str, row: np.ndarray, number: int, enlargement: int = ENLARGEMENT) -> bytes:
    """Return the file of a kind from a data-set row uint8 (28,28); the same number gives the same file.

    Photographs have 12 megapixels; a smaller `enlargement` saves time where their size does not matter.
    """
    rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
    if kind in PHOTOS:
        return photograph(row, PHOTOS[kind], rng, enlargement)
    return (DRAWINGS | PRODUCTS)[kind](row, rng)
