"""The IDX format of MNIST and its relatives: a short header, then unsigned bytes; often gzipped.

The header is two zero bytes, the type (8: unsigned byte), the number of dimensions and each dimension's size as
a big-endian 32-bit integer. The format is described at http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from model.contract import UserError

UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 2**31  # no data set of this project comes near; a header that declares more is wrong
CHUNK = 2**20


class DatasetError(UserError):
    """A data set cannot be read; the message names the file and what was expected of it."""


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
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            return parse(gzip.GzipFile(fileobj=file) if zipped else file, dimensions)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: the gzip file is damaged or cut short ({error})") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None


def parse(stream: BinaryIO | gzip.GzipFile, dimensions: int) -> np.ndarray:
    """Read one IDX array of unsigned bytes that fills the whole stream; see `read`."""
    sizes = _parse_header(stream, dimensions)
    expected = math.prod(sizes)
    if expected > MAX_BYTES:
        raise DatasetError(f"the header declares {_by(sizes)} bytes; at most {MAX_BYTES:,} are allowed")
    # One byte more than declared tells a file that goes on from one that ends where it should.
    content = _read_at_most(stream, expected + 1)
    if len(content) != expected:
        found = "more follow" if len(content) > expected else f"only {len(content):,} follow"
        raise DatasetError(f"the header declares {_by(sizes)} = {expected:,} bytes, but {found}")
    return np.frombuffer(content, np.uint8).reshape(sizes)


def header(array: np.ndarray) -> bytes:
    """The IDX header of a uint8 array; the header and the array's bytes are the whole file."""
    return struct.pack(f">HBB{array.ndim}I", 0, UNSIGNED_BYTE, array.ndim, *array.shape)


def content_sha256(array: np.ndarray) -> str:
    """Hexadecimal SHA-256 of the unzipped IDX file that holds `array`."""
    digest = hashlib.sha256(header(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _parse_header(stream: BinaryIO | gzip.GzipFile, dimensions: int) -> tuple[int, ...]:
    magic = _read_at_most(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DatasetError(f"is not an IDX file: it begins with {bytes(magic).hex() or 'nothing'}")
    if magic[2] != UNSIGNED_BYTE:
        raise DatasetError(f"holds IDX type 0x{magic[2]:02x}; expected unsigned bytes (0x08)")
    if magic[3] != dimensions:
        raise DatasetError(f"has {magic[3]} dimensions; expected {dimensions} ({_kind(dimensions)})")
    sizes = _read_at_most(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DatasetError("ends within its header")
    return struct.unpack(f">{dimensions}I", sizes)


def _read_at_most(stream: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    """Read piece by piece, so that memory follows what the file holds and not what its header declares."""
    content = bytearray()
    while len(content) < count and (piece := stream.read(min(CHUNK, count - len(content)))):
        content += piece
    return content


def _kind(dimensions: int) -> str:
    return {1: "labels", 3: "images"}.get(dimensions, "an array")


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in sizes)
