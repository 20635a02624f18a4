"""Encode what a caller passes as an image into the bytes of an image file; find image files in folders.

`capsnet.preprocessing.image_file` decodes image files. `capsnet.png` writes the arrays of a network as PNG files.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from capsnet.errors import CapsnetError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    # A path, the bytes of an image file, an open binary file, an image of Pillow, or an array (see `encode`).
    ImageInput = (
        str
        | os.PathLike[str]
        | bytes
        | bytearray
        | memoryview
        | IO[bytes]
        | Image.Image
        | np.ndarray[Any, Any]
    )
else:
    ImageInput = Any  # NumPy takes a tenth of a second to import, and the command never needs it

# 50 megapixels in four channels of 16 bits. Larger files are not read, so that a few of them cannot fill the memory.
MAX_FILE_BYTES = 400_000_000

# Name endings of image files in a folder. A file that is passed by its own path may have any name.
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".dib"}

# Files and folders of file managers, in lower case.
NO_IMAGES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}

# A scheme of one letter would be a drive of Windows.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# What arithmetic may add to floats from 0 to 1.
ROUNDING = 1e-6

# An image of Pillow is opened by its caller, and only decoded here. The limit is that of image files.
MAX_PIXELS = 50_000_000

# Modes of Pillow that a PNG file holds as they are.
PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}

LIST_HINT = (
    "; pass several images to classify_many, and rows of pixels as an array: numpy.array(rows, 'uint8')"
)

# zlib's level for a file that leaves this process, and for one that does not: no compression.
COMPRESSED, STORED = 6, 0


class Png(bytes):
    """The bytes of a PNG file. A notebook shows it as an image; `pixels` reads it, `save` writes it."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file."""
        Path(path).write_bytes(self)

    def pixels(self) -> np.ndarray[Any, Any]:
        """Return the pixels as uint8, (H,W) or (H,W,3)."""
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(self)) as image:
            return np.asarray(image)

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        return f"<PNG of {len(self)} bytes>"


def image_bytes(image: ImageInput, *, level: int = COMPRESSED) -> bytes:
    """Return the bytes of an image file; arrays and images of Pillow become PNG files, compressed at `level`.

    Raises
    ------
    CapsnetError
        With the kind `unreadable-file`, if the file cannot be read.
    TypeError, ValueError
        If it is no `ImageInput`, or an array whose type, shape or values are not allowed.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return _read_file(image)
    if hasattr(image, "getexif"):  # as every image of Pillow has, also one that is an open file
        return _encode_image(image, level)
    if hasattr(image, "read"):
        return _binary(image.read())
    if hasattr(image, "__array__"):  # NumPy's own, and tensors of other libraries
        return encode(image, level)
    kind = type(image).__name__
    raise TypeError(
        "an image should be a path, bytes, a binary file, an image of Pillow or an array, "
        f"not {kind}{LIST_HINT if kind in ('list', 'tuple') else ''}"
    )


def iterate(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Iterate over several images; raises TypeError where a single one is passed, or nothing that holds images."""
    single = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike)
    shape = getattr(images, "shape", (1, 1, 0))
    # An array of three axes holds grey images (N,H,W), unless the last one is that of colours.
    single = single or len(shape) < 3 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    single = single or hasattr(images, "getexif") or hasattr(images, "read")
    if single or not isinstance(images, Iterable):
        kind = type(images).__name__
        raise TypeError(f"images should be a list of images, not {kind}; classify takes a single one")
    return iter(images)


def size(image: ImageInput) -> int:
    """Return the size in bytes of an image file, as far as it is known before the file is read; otherwise 0."""
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).stat().st_size
        except (OSError, ValueError):
            return 0
    return len(image) if isinstance(image, bytes) else int(getattr(image, "nbytes", 0))


def _read_file(name: str | os.PathLike[str]) -> bytes:
    if problem := path_problem(os.fspath(name)):
        raise unreadable(problem)
    path = Path(name)
    if (length := size(path)) > MAX_FILE_BYTES:
        raise unreadable(
            f"{printable(path)}: the file has {length:,} bytes; at most {MAX_FILE_BYTES:,} are read"
        )
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise unreadable(f"{printable(path)}: {reason}") from None


def path_problem(text: str) -> str:
    """Say why a text is no path, where it is empty or a URL; return an empty text otherwise.

    An empty path would mean the working folder, and is most often a variable that is not set.
    """
    if not text:
        return "the path of an image is empty"
    is_url = URL.match(text) is not None
    return f"{printable(text)}: a URL is not read; download the file first" if is_url else ""


def printable(path: str | Path) -> str:
    """Return a path as valid Unicode, whatever bytes its name has."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def walk(folder: Path) -> Iterator[Path]:
    """Yield the image files of a folder and its sub-folders, and what cannot be read; as `walk_all` does."""
    return (path for path in walk_all(folder) if is_image_file(path) or path.is_dir())


def walk_all(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its sub-folders, sorted; hidden ones and those of file managers are left out.

    Links are followed, into no folder twice. A folder that cannot be read is yielded itself: reading it gives the
    reason.
    """
    closed: list[Path] = []
    visited: set[str] = set()
    for where, folders, files in os.walk(
        folder, followlinks=True, onerror=lambda error: closed.append(Path(error.filename))
    ):
        if (real := os.path.realpath(where)) in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_skipped(name))
        yield from (Path(where, name) for name in sorted(files) if not is_skipped(name))
    yield from closed


def is_skipped(name: str) -> bool:
    """Tell by its name whether a file or a folder is hidden, or a file manager's."""
    return name.startswith(".") or name.casefold() in NO_IMAGES


def is_image_file(path: Path) -> bool:
    """Tell whether the name of a file ends like that of an image."""
    return path.suffix.lower() in SUFFIXES


def unreadable(detail: str) -> CapsnetError:
    """Return the error of a file that cannot be read."""
    return CapsnetError(detail, kind="unreadable-file", title="A file that cannot be read")


def _binary(content: str | bytes) -> bytes:
    """Return what an open file gave; raises TypeError where it is open as text."""
    if isinstance(content, str):
        raise TypeError("the file is open as text; open it in binary mode, 'rb'")
    return content


def encode(pixels: Any, level: int = COMPRESSED) -> Png:
    """Return an array as a PNG file.

    Parameters
    ----------
    pixels
        (H,W), (H,W,1), (H,W,3) or, with transparency, (H,W,4): uint8, or floats from 0 to 1.
    level
        zlib's compression, 0 to 9.

    Raises
    ------
    TypeError
        If the array has another type or shape.
    ValueError
        If its floats are not finite, or not from 0 to 1.
    """
    import numpy as np
    from PIL import Image

    array = np.asarray(pixels)
    has_shape = array.size > 0 and (array.ndim == 2 or array.shape[2:] in ((1,), (3,), (4,)))
    if not has_shape or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        raise TypeError(
            "pixels should be uint8 or floats of shape (H,W), (H,W,1), (H,W,3) or (H,W,4), "
            f"not {array.dtype} of shape {array.shape}{_hint(array)}"
        )
    if array.dtype.kind == "f":
        array = _to_uint8(array)
    return _save_png(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array), level)


def _hint(array: np.ndarray[Any, Any]) -> str:
    """Return how to make an image of an array that is none; empty where that is not clear."""
    if array.size == 0:
        return "; the array is empty"
    if array.ndim == 4:
        return "; pass several images to classify_many"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "; put the channels last"
    if array.ndim != 2:
        return ""
    if array.dtype == bool:
        return "; convert it with astype(float)"
    if array.dtype.kind not in "iu" or array.min() < 0:
        return ""
    if array.max() < 256:
        return "; convert it with astype(numpy.uint8)"
    return f"; divide it by its largest possible value, such as {2 ** int(array.max()).bit_length() - 1}"


def _to_uint8(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Scale floats from 0 to 1 to uint8; raises ValueError for others."""
    import numpy as np

    least, greatest = float(array.min()), float(array.max())  # a NaN is both
    if not (np.isfinite(least) and np.isfinite(greatest)):
        raise ValueError("the array holds NaN or infinity; floats must lie between 0 and 1")
    if least < -ROUNDING or greatest > 1 + ROUNDING:
        raise ValueError(
            f"the floats reach from {least:g} to {greatest:g}; they must lie between 0 and 1, "
            "or be given as uint8 from 0 to 255"
        )
    scaled: np.ndarray[Any, Any] = np.round(array.clip(0, 1) * 255).astype(np.uint8)
    return scaled


def _encode_image(image: Any, level: int) -> Png:
    """Return an image of Pillow, turned as its EXIF data says, as a PNG file.

    Raises
    ------
    CapsnetError
        With the kind `too-large` or `not-an-image`, if it has too many pixels or its file is damaged.
    ValueError
        If it is empty, or its mode or its numbers make no image.
    """
    from PIL import ImageOps

    width, height = image.size
    if 0 in image.size:
        raise ValueError(f"the image of Pillow is empty: {width} × {height} pixels")
    if width * height > MAX_PIXELS:
        detail = f"the image of Pillow has {width} × {height} pixels; at most {MAX_PIXELS:,} are read"
        raise CapsnetError(detail, kind="too-large", title="Too large")
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception as error:  # noqa: BLE001  # decoders raise nearly any: OSError, SyntaxError, struct.error
        detail = f"the image of Pillow cannot be decoded ({error})"
        raise CapsnetError(detail, kind="not-an-image", title="Not an image") from None
    if upright.mode == "F":
        import numpy as np

        return encode(np.asarray(upright), level)
    if upright.mode.startswith("I") and upright.mode != "I;16":
        upright = _sixteen_bits(upright)
    elif upright.mode == "PA":
        upright = upright.convert("RGBA")
    try:
        return _save_png(upright if upright.mode in PNG_MODES else upright.convert("RGB"), level)
    except ValueError:  # of modes with premultiplied transparency, for one
        raise ValueError(
            f"an image of Pillow in mode {image.mode!r} should be converted to RGB first"
        ) from None


def _sixteen_bits(image: Image.Image) -> Image.Image:
    """Return an image of whole numbers in mode `I;16`; raises ValueError where they take more than 16 bits."""
    import numpy as np
    from PIL import Image

    numbers = np.asarray(image)
    least, greatest = int(numbers.min()), int(numbers.max())
    if least < 0 or greatest > 65_535:
        raise ValueError(
            f"an image of Pillow in mode {image.mode!r} reaches from {least} to {greatest}; 0 to 65535 is read"
        )
    return Image.fromarray(numbers.astype(np.uint16))


def _save_png(image: Image.Image, level: int) -> Png:
    file = io.BytesIO()
    # Colour profiles change no answer, and a large one would be refused.
    image.save(file, "PNG", compress_level=level, icc_profile=None)
    return Png(file.getvalue())
