"""Pictures on their way to the service and back."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from capsnet.errors import CapsnetError

if TYPE_CHECKING:
    import numpy as np

    # A path, the bytes of a picture file, an open binary file, or pixels: uint8 (H,W) or (H,W,3).
    Picture = str | os.PathLike[str] | bytes | IO[bytes] | np.ndarray[Any, Any]
else:
    Picture = Any  # NumPy takes a tenth of a second to import, and the command never needs it

# 50 megapixels in four channels of 16 bits. What is larger is not read, so that a few of them cannot fill the memory.
LARGEST = 400_000_000


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


def read(picture: Picture) -> bytes:
    """The bytes of a picture file.

    Raises
    ------
    CapsnetError
        With the kind `unreadable-file`, if it cannot be read.
    TypeError
        If it is none of the kinds that a `Picture` may be.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str | os.PathLike):
        return _read_file(Path(picture))
    if hasattr(picture, "read"):
        return _binary(picture.read())
    if hasattr(picture, "__array_interface__"):
        return encode(picture)
    raise TypeError(
        f"a picture is a path, bytes, a binary file or an array of uint8, not {type(picture).__name__}"
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


def unreadable(detail: str) -> CapsnetError:
    """A file that cannot be read."""
    return CapsnetError(detail, kind="unreadable-file", title="A file that cannot be read")


def _binary(content: str | bytes) -> bytes:
    if isinstance(content, str):
        raise TypeError("the file is open as text; open it in binary mode, 'rb'")
    return content


def encode(pixels: Any) -> Png:
    """Pixels, uint8 of shape (H,W), (H,W,3) or, with transparency, (H,W,4), as a PNG file.

    Raises
    ------
    TypeError
        If they are of another type or shape.
    """
    import numpy as np
    from PIL import Image

    array = np.asarray(pixels)
    is_picture = array.size > 0 and (array.ndim == 2 or array.shape[2:] in ((3,), (4,)))
    if array.dtype != np.uint8 or not is_picture:
        raise TypeError(
            f"pixels are uint8 of shape (H,W), (H,W,3) or (H,W,4), not {array.dtype} of shape {array.shape}"
        )
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return Png(file.getvalue())
