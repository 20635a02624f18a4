"""Read the IDX format of MNIST and its relatives: a short header, then unsigned bytes; often gzipped.

The header is two zero bytes, the type (8: unsigned byte), the number of dimensions and each dimension's size as
a big-endian 32-bit integer. The format is described at http://yann.lecun.com/exdb/mnist/.
"""

import hashlib
import struct
from functools import partial
from pathlib import Path

import numpy as np

from training.data.formats.binary_file import DatasetError, Stream, read_at_most, read_exactly, read_file

UNSIGNED_BYTE = 8


def read(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file, gzipped or plain (its bytes decide, not its name).

    Parameters
    ----------
    path
        The file.
    dimensions
        How many dimensions it must have: 1 for labels, 3 for images (N,H,W).

    Returns
    -------
    np.ndarray
        uint8, writable.

    Raises
    ------
    DatasetError
        If the file cannot be read, is damaged, or holds anything else.
    """
    return read_file(path, partial(parse, dimensions=dimensions))


def parse(stream: Stream, dimensions: int) -> np.ndarray:
    """Read one IDX array of unsigned bytes that fills the whole stream; see `read`."""
    sizes = _parse_header(stream, dimensions)
    return np.frombuffer(read_exactly(stream, sizes), np.uint8).reshape(sizes)


def header(array: np.ndarray) -> bytes:
    """Return the IDX header of a uint8 array; header and bytes of the array make the whole file."""
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape)


def content_sha256(array: np.ndarray) -> str:
    """Return the hexadecimal SHA-256 of the unzipped IDX file that holds `array`."""
    digest = hashlib.sha256(header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _parse_header(stream: Stream, dimensions: int) -> tuple[int, ...]:
    magic = read_at_most(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DatasetError(f"is not an IDX file: it begins with {bytes(magic).hex() or 'nothing'}")
    if magic[2] != UNSIGNED_BYTE:
        raise DatasetError(f"holds IDX type 0x{magic[2]:02x}; expected unsigned bytes (0x08)")
    if magic[3] != dimensions:
        raise DatasetError(f"has {magic[3]} dimensions; expected {dimensions} ({_kind(dimensions)})")
    sizes = read_at_most(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DatasetError("ends within its header")
    return struct.unpack(f">{dimensions}I", sizes)


def _kind(dimensions: int) -> str:
    return {1: "labels", 3: "images"}.get(dimensions, "an array")
