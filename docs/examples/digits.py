"""Write test images of MNIST as PNG files, a thousand a folder: something to try many images with.

    python -m docs.examples.digits FOLDER COUNT

Reads the data set that `python -m training download mnist` fetches. A file's name ends with its class.
"""

import os
import sys
from pathlib import Path

from PIL import Image

from training.data.datasets import DATA_VARIABLE, DEFAULT_FOLDER, load


def main() -> None:
    """Write FOLDER/000/00000-7.png and so on."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    digits = load("mnist", "test", Path(os.environ.get(DATA_VARIABLE, DEFAULT_FOLDER)))
    for index in range(count):
        path = folder / f"{index // 1000:03}" / f"{index:05}-{digits.labels[index]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[index, 0]).save(path)


if __name__ == "__main__":
    main()
