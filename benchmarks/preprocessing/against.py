"""Compare the preprocessing with that of another checkout: the rows of both data sets, and the time for a few images.

git worktree add --detach ../base c67995d
python -m benchmarks.preprocessing.against ../base
"""

import argparse
import hashlib
import io
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 7  # in turn; the medians are compared
ROWS = 5000  # at a time
PHOTOS = {
    "ink": 4,
    "marker": 4,
    "ruled": 4,
    "shadow": 4,
    "squared": 4,
}  # how many of a kind, of 640 x 480 pixels
FIRST = 20  # test image of the first
WAYS = {"mnist": "mnist", "fashion_mnist": "fashion"}


class Reader:
    """A process that reads images with the code of one checkout."""

    def __init__(self, root: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(root.resolve()), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def read(self, files: list[bytes], way: str, repeats: int = 1) -> tuple[str, float]:
        """Read files: a hash of all their arrays, and milliseconds of CPU time for one file."""
        assert self.process.stdin
        assert self.process.stdout
        pickle.dump((files, way, repeats), self.process.stdin)
        self.process.stdin.flush()
        digest, milliseconds = pickle.load(self.process.stdout)
        return digest, milliseconds


def serve() -> None:
    """Read what comes on standard input, with the code that PYTHONPATH names, until it ends."""
    from capsnet.config import InputSpec
    from capsnet.preprocessing.pipeline import decode_uint8

    source: Any = sys.stdin.buffer
    while source.peek(1):
        files, way, repeats = pickle.load(source)
        spec = InputSpec(channels=1, height=28, width=28, preprocess=way)
        begin = time.process_time()
        for _ in range(repeats):
            seen = [decode_uint8(data, spec) for data in files]
        took = 1000 * (time.process_time() - begin) / repeats / len(files)
        digest = hashlib.sha256(b"".join(each.tobytes() for each in seen)).hexdigest()
        pickle.dump((digest, took), sys.stdout.buffer)
        sys.stdout.flush()


def main() -> None:
    """Compare, and print a line for each part."""
    from benchmarks.preprocessing import catalogue
    from training.data.datasets import load

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="another checkout")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CAPSNET_DATA") or "../shared/data"))
    options = parser.parse_args()
    readers = [Reader(options.base), Reader(ROOT)]
    for name, way in WAYS.items():
        for part in ("train", "test"):
            rows, same = load(name, part, options.data).images[:, 0], 0
            for start in range(0, len(rows), ROWS):
                files = [
                    _file(Image.fromarray(row), "PNG", compress_level=1) for row in rows[start : start + ROWS]
                ]
                digests = {reader.read(files, way)[0] for reader in readers}
                same += len(files) * (len(digests) == 1)
            print(f"{name} {part}: {same:,} of {len(rows):,} rows are the same bit for bit", flush=True)
    digits = load("mnist", "test", options.data).images[:, 0]
    _compare(readers, "28 x 28 PNG", [_file(Image.fromarray(row), "PNG") for row in digits[:20]], 100)
    for kind, count in PHOTOS.items():
        photos = [_photo(catalogue.make(kind, digits[n], n, 2)) for n in range(FIRST, FIRST + count)]
        _compare(readers, f"640 x 480 JPEG, {kind}", photos, 4)


def _compare(readers: list[Reader], name: str, files: list[bytes], repeats: int) -> None:
    times = [[reader.read(files, "mnist", repeats)[1] for reader in readers] for _ in range(ROUNDS + 1)][1:]
    base, own = np.median(times, axis=0)
    print(f"{name}: {base:.3f} ms before, {own:.3f} ms now, {own / base:.3f} times as long", flush=True)


def _photo(data: bytes) -> bytes:
    return _file(Image.open(io.BytesIO(data)).resize((640, 480)), "JPEG", quality=85)


def _file(image: Image.Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
