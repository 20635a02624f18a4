"""Read CIFAR-10: 60,000 colour images of 32x32 pixels in ten classes, in its published binary format.

Krizhevsky 2009, "Learning multiple layers of features from tiny images"; https://www.cs.toronto.edu/~kriz/cifar.html.
A file consists of records of 3,073 bytes: the label, then 1,024 red, 1,024 green and 1,024 blue values, row by row.
"""

from functools import partial
from pathlib import Path

import numpy as np

from capsnet.config import InputSpec
from training.data.formats.binary_file import DatasetError, Stream, located, read_at_most, read_file

FOLDERS = ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin")
HOME = "CIFAR-10's binary version is at https://www.cs.toronto.edu/~kriz/cifar.html"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INPUT = InputSpec(channels=3, height=32, width=32, preprocess="resize")
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORDS = 10_000  # in each file
SHAPE = (INPUT.channels, INPUT.height, INPUT.width)
RECORD = 1 + 3 * 32 * 32


def read(root: Path, part: str, *, subset: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N,3,32,32) and labels int64 (N,) of a part, `train` or `test`.

    Raises
    ------
    DatasetError
        If a file is missing, damaged, of another kind or another's copy; the message names it. Unless `subset`, also if
        there are not exactly as many images as were published.
    """
    files: dict[Path, np.ndarray] = {}
    for file in FILES[part]:
        path = located(root, FOLDERS, file, "", HOME)
        records = read_file(path, partial(parse, subset=subset))
        if same := next((other for other, array in files.items() if np.array_equal(array, records)), None):
            raise DatasetError(f"{path}: holds the same images as {same.name}")
        files[path] = records
    whole = np.concatenate(list(files.values()))  # (N,3073)
    return whole[:, 1:].reshape(-1, *SHAPE), whole[:, 0].astype(np.int64)


def parse(stream: Stream, *, subset: bool) -> np.ndarray:
    """Return the records uint8 (N,3073) of one file; raises DatasetError."""
    content = read_at_most(stream, RECORDS * RECORD + 1)
    whole = len(content) == RECORDS * RECORD
    if not whole and not (subset and content and len(content) % RECORD == 0):
        size = f"{len(content):,}" if len(content) <= RECORDS * RECORD else f"more than {RECORDS * RECORD:,}"
        raise DatasetError(
            f"holds {size} bytes; a file of CIFAR-10 has {RECORDS:,} records of {RECORD:,} bytes = "
            f"{RECORDS * RECORD:,}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        row = int(np.argmax(records[:, 0] >= len(CLASSES)))
        raise DatasetError(f"record {row} has the label {records[row, 0]}; the highest is {len(CLASSES) - 1}")
    return records
