"""List kinds of images that people reported: each with its digits and its required result."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.preprocessing import displays, empty_scene, lettering, pattern_scene, solid_scene, surrounds
from benchmarks.preprocessing.small_scene import SIZES
from training.data.datasets import DatasetPart

Maker = Callable[[np.ndarray, np.random.Generator, int], bytes]  # from row uint8 (28,28), generator and label
ALL = tuple(range(10))


@dataclass(frozen=True)
class Kind:
    """A kind of image.

    Attributes
    ----------
    make
        Its generator.
    digits
        The digits it is made from.
    read
        Least share of its images that is read right; 0 where there is nothing to read.
    harm
        Largest share of its images that is wrong and accepted.
    seed
        Name that seeds its generator; kinds of one name show the same scenes.
    """

    make: Maker
    digits: tuple[int, ...] = ALL
    read: float = 0.0
    harm: float = 1.0
    seed: str = ""


EMPTY = {
    "cell": Kind(empty_scene.cell, harm=0.03),
    "margin": Kind(empty_scene.margin, harm=0.03),
    "rail": Kind(empty_scene.rail, harm=0.03),
    "fold": Kind(empty_scene.fold, harm=0.03),
    "table-edge": Kind(empty_scene.table_edge, harm=0.03),
    "lit-edge": Kind(empty_scene.lit_edge, harm=0.03),
    "scan-border": Kind(empty_scene.scan_border, harm=0.03),
}
TONES = {"soft-tones": Kind(empty_scene.soft_tones, harm=0.03)}
PATTERNS = {"pattern": Kind(pattern_scene.pattern, harm=0.05)}
SOLIDS = {"solid": Kind(solid_scene.solid, harm=0.03)}
SMALL = {name: Kind(make, read=0.9, seed="scene") for name, make in SIZES.items()}
GROUNDS = {
    "equal-brightness": Kind(surrounds.equal_brightness, read=0.95),
    "board": Kind(surrounds.board, read=0.95),
    "sheet": Kind(surrounds.sheet, read=0.95),
}
LETTERING = {
    "one-at-edge": Kind(empty_scene.one_at_edge, (1,), read=0.97),
    "outline": Kind(lettering.outline, read=0.9, harm=0.03),
    "european-1": Kind(lettering.european_one, (1,), read=0.9, harm=0.03),
    "slashed-0": Kind(lettering.slashed_zero, (0,), read=0.9, harm=0.03),
    "barred-7": Kind(lettering.barred_seven, (7,), read=0.9, harm=0.03),
    "underlined": Kind(lettering.underlined, read=0.9, harm=0.03),
    "circled": Kind(lettering.circled, read=0.9, harm=0.03),
    "seven-segments": Kind(displays.seven_segments, read=0.9),
}
REFUSED = {**EMPTY, **TONES, **PATTERNS, **SOLIDS, "crossed-out": Kind(lettering.crossed_out, harm=0.03)}
KINDS = {
    **EMPTY,
    **TONES,
    **PATTERNS,
    **SOLIDS,
    **SMALL,
    **GROUNDS,
    **LETTERING,
    "crossed-out": REFUSED["crossed-out"],
}

# Kinds that are shown together.
GROUPS = {
    "empty": (*EMPTY, "one-at-edge"),
    "tones": tuple(TONES),
    "patterns": tuple(PATTERNS),
    "solids": tuple(SOLIDS),
    "grounds": (*SMALL, *GROUNDS),
    "lettering": (*(name for name in LETTERING if name != "one-at-edge"), "crossed-out"),
}


def make(name: str, digits: DatasetPart, number: int) -> tuple[bytes, int]:
    """Return the file of a kind and its label, -1 where nothing is to be read; the same number gives the same file."""
    kind = KINDS[name]
    chosen = np.flatnonzero(np.isin(digits.labels, kind.digits))
    index = chosen[number % len(chosen)]
    rng = np.random.default_rng([zlib.crc32((kind.seed or name).encode()), number])
    label = int(digits.labels[index])
    return kind.make(digits.images[index, 0], rng, label), -1 if name in REFUSED else label
