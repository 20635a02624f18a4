"""Encode what a caller passes as an image into the bytes of an image file; find image files in folders.

`capsnet.preprocessing.image_file` decodes image files. `capsnet.png` writes the arrays of a network as PNG files.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from capsnet.errors import CapsnetError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    # A path, the bytes of an image file, an open binary file, an image of Pillow, or an array (see `encode`).
    Picture = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | np.ndarray[Any, Any]
else:
    Picture = Any  # NumPy takes a tenth of a second to import, and the command never needs it

# 50 megapixels in four channels of 16 bits. Larger files are not read, so that a few of them cannot fill the memory.
LARGEST = 400_000_000

# Endings of the files taken from a folder; a file that is named is sent whatever it is called.
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".dib"}

# Modes of Pillow that a PNG file holds as they are.
PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}

# zlib's level for a file that leaves this process, and for one that does not: no compression.
COMPRESSED, STORED = 6, 0


class Png(bytes):
    """The bytes of a PNG file. A notebook shows it as a picture; `PIL.Image.open(io.BytesIO(png))` opens it."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file."""
        Path(path).write_bytes(self)

    def pixels(self) -> np.ndarray[Any, Any]:
        """The pixels as uint8, (H,W) or (H,W,3)."""
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(self)) as image:
            return np.asarray(image)

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        return f"<PNG of {len(self)} bytes>"


def read(picture: Picture, *, level: int = COMPRESSED) -> bytes:
    """Return the bytes of an image file; arrays and images of Pillow become PNG files, compressed at `level`.

    Raises
    ------
    CapsnetError
        With the kind `unreadable-file`, if the file cannot be read.
    TypeError, ValueError
        If it is none of the kinds that a `Picture` may be, or an array whose type, shape or values are not allowed.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | os.PathLike):
        return _read_file(Path(picture))
    if hasattr(picture, "getexif"):  # as every image of Pillow has, also one that is an open file
        return _encode_image(picture, level)
    if hasattr(picture, "read"):
        return _binary(picture.read())
    if hasattr(picture, "__array_interface__"):
        return encode(picture, level)
    raise TypeError(
        f"a picture is a path, bytes, a binary file, an image of Pillow or an array, not {type(picture).__name__}"
    )


def size(picture: Picture) -> int:
    """Bytes that a picture file will have, as far as it is known before it is read; 0 otherwise."""
    if isinstance(picture, str | os.PathLike):
        try:
            return Path(picture).stat().st_size
        except (OSError, ValueError):
            return 0
    return len(picture) if isinstance(picture, bytes) else int(getattr(picture, "nbytes", 0))


def _read_file(path: Path) -> bytes:
    if (length := size(path)) > LARGEST:
        raise unreadable(f"{printable(path)}: {length} bytes are more than any picture has")
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise unreadable(f"{printable(path)}: {reason}") from None


def printable(path: str | Path) -> str:
    """The name of a path as valid Unicode, whatever bytes it has."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def walk(folder: Path) -> Iterator[Path]:
    """The pictures of a folder and its sub-folders, but not of hidden ones."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and is_picture(Path(name)):
                yield Path(where, name)


def is_picture(path: Path) -> bool:
    """Whether a file of a folder is taken for a picture, by its name."""
    return path.suffix.lower() in SUFFIXES


def unreadable(detail: str) -> CapsnetError:
    """A file that cannot be read."""
    return CapsnetError(detail, kind="unreadable-file", title="A file that cannot be read")


def _binary(content: str | bytes) -> bytes:
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
    is_picture = array.size > 0 and (array.ndim == 2 or array.shape[2:] in ((1,), (3,), (4,)))
    if not is_picture or (array.dtype != np.uint8 and array.dtype.kind != "f"):
        hint = "; put the channels last" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise TypeError(
            "pixels are uint8 or floats of shape (H,W), (H,W,1), (H,W,3) or (H,W,4), "
            f"not {array.dtype} of shape {array.shape}{hint}"
        )
    if array.dtype.kind == "f":
        array = _to_uint8(array)
    return _save_png(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array), level)


def _to_uint8(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    least, greatest = float(array.min()), float(array.max())  # a NaN is both
    if not (np.isfinite(least) and np.isfinite(greatest)):
        raise ValueError("the array holds NaN or infinity; floats must lie between 0 and 1")
    if least < 0 or greatest > 1:
        raise ValueError(
            f"the floats reach from {least:g} to {greatest:g}; they must lie between 0 and 1, "
            "or be given as uint8 from 0 to 255"
        )
    scaled: np.ndarray[Any, Any] = np.round(array * 255).astype(np.uint8)
    return scaled


def _encode_image(image: Any, level: int) -> Png:
    """An image of Pillow, turned as its EXIF data says, as a PNG file."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    return _save_png(upright if upright.mode in PNG_MODES else upright.convert("RGB"), level)


def _save_png(image: Image.Image, level: int) -> Png:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=level)
    return Png(file.getvalue())
