"""Read binary files of data sets, gzipped or plain, with errors that name the file and its fault."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from capsnet.config import UserError

GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 2**31  # no data set of this project comes near; a header that declares more is wrong
CHUNK = 2**20

Stream = BinaryIO | gzip.GzipFile
Parsed = TypeVar("Parsed")


class DatasetError(UserError):
    """A data set cannot be read; the message names the file and what was expected of it."""


def read_file(path: Path, parse: Callable[[Stream], Parsed]) -> Parsed:
    """Parse a file, gzipped or plain (its bytes decide, not its name).

    Raises
    ------
    DatasetError
        If the file cannot be read, is damaged, or `parse` refuses it; the message begins with the file.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            return parse(gzip.GzipFile(fileobj=file) if zipped else file)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: the gzip file is damaged or cut short ({error})") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_at_most(stream: Stream, count: int) -> bytearray:
    """Read at most `count` bytes piece by piece, so that memory depends on the file and not on its header."""
    content = bytearray()
    while len(content) < count and (piece := stream.read(min(CHUNK, count - len(content)))):
        content += piece
    return content


def read_exactly(stream: Stream, sizes: tuple[int, ...], width: int = 1) -> bytearray:
    """Read the declared content, `sizes` items of `width` bytes, which must fill the rest; raises DatasetError."""
    expected = width * _product(sizes)
    if expected > MAX_BYTES:
        raise DatasetError(f"the header declares {by(sizes)} bytes; at most {MAX_BYTES:,} are allowed")
    # One byte more than declared tells a file that goes on from one that ends where it should.
    content = read_at_most(stream, expected + 1)
    if len(content) != expected:
        found = "more follow" if len(content) > expected else f"only {len(content):,} follow"
        raise DatasetError(f"the header declares {by(sizes)} = {expected:,} bytes, but {found}")
    return content


def by(sizes: tuple[int, ...]) -> str:
    """Return sizes in words: 60,000 x 28 x 28."""
    return " x ".join(f"{size:,}" for size in sizes)


def find(root: Path, folders: tuple[str, ...], file: str) -> Path | None:
    """Return the path of a file, gzipped or not: in one of the folders below `root`, or in `root` itself."""
    places = [*(root / folder for folder in folders), root]
    candidates = (place / name for place in places for name in (f"{file}.gz", file))
    return next((path for path in candidates if path.is_file()), None)


def located(root: Path, folders: tuple[str, ...], file: str, suffix: str, home: str) -> Path:
    """Return the path that `find` finds; raises DatasetError with its published name and its origin, `home`."""
    path = find(root, folders, file)
    if path is None:
        raise DatasetError(f"{root / folders[0] / file}{suffix}: no such file; {home}")
    return path


def _product(sizes: tuple[int, ...]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
