"""Write the playground's samples, `app/static/samples/`: a strip of images for each data set, and its labels.

    python -m docs.tools.samples

The images are the second test images of each class in `tests/data`, unchanged, and at the end of a strip some that
its models cannot know. See the README beside them for source and licence.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.datasets import describe, load

Sample = tuple[str, np.ndarray]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
STRIPS = ROOT / "app" / "static" / "samples"

# Classes of two digits that lie over each other, and by how many pixels each is moved (down, right) from the middle.
PAIRS = [
    (("2", (-1, -2)), ("7", (2, 2))),
    (("5", (1, -3)), ("0", (-1, 2))),
    (("3", (-2, 2)), ("4", (1, -3))),
    (("8", (0, -2)), ("1", (1, 3))),
    (("6", (-2, -2)), ("9", (2, 2))),
    (("0", (2, -2)), ("4", (-2, 2))),
    (("7", (-3, 1)), ("3", (2, -2))),
    (("1", (0, 0)), ("5", (1, 3))),
]
PAIR_SIZE = 36


def main() -> None:
    """Write all strips and their index."""
    digits, clothes = one_of_each("mnist"), one_of_each("fashion_mnist")
    index = {
        "mnist": strip("mnist", [*digits.items(), *some(clothes, "Bag", "Trouser")]),
        "fashion_mnist": strip("fashion_mnist", [*clothes.items(), *some(digits, "2", "8")]),
        "multimnist": strip("multimnist", [pair(digits, first, second) for first, second in PAIRS]),
    }
    (STRIPS / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def strip(name: str, samples: list[Sample]) -> dict[str, Any]:
    """Write samples (name, (H,W)) side by side; their entry in the index."""
    pixels = np.concatenate([image for _, image in samples], axis=1)  # [(H,W)] -> (H,N*W)
    Image.fromarray(pixels).save(STRIPS / f"{name}.png", optimize=True)
    height, width = samples[0][1].shape
    return {"file": f"{name}.png", "width": width, "height": height, "names": [name for name, _ in samples]}


def one_of_each(name: str) -> dict[str, np.ndarray]:
    """Return the second image (H,W) of each class of a data set, by its name; some of the first are odd ones."""
    split = load(name, "test", DATA, subset=True)
    rows = [np.flatnonzero(split.labels == label)[1] for label in range(10)]
    return dict(zip(describe(name).classes, split.images[rows, 0], strict=True))


def some(images: dict[str, np.ndarray], *names: str) -> list[Sample]:
    """Return the images of these classes, with their names."""
    return [(name, images[name]) for name in names]


def pair(images: dict[str, np.ndarray], *digits: tuple[str, tuple[int, int]]) -> Sample:
    """Two digits over each other in a larger frame, their sum clipped, as MultiMNIST has it."""
    frame = np.zeros((PAIR_SIZE, PAIR_SIZE), np.uint16)
    for label, (down, right) in digits:
        image = images[label]
        height, width = image.shape
        top, left = (PAIR_SIZE - height) // 2 + down, (PAIR_SIZE - width) // 2 + right
        frame[top : top + height, left : left + width] += image
    return " and ".join(label for label, _ in digits), np.minimum(frame, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
