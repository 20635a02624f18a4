"""Make malicious and damaged image files, which a public decoder must survive."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def whole_files() -> dict[str, bytes]:
    """Return a small valid file of each format and mode, for mutation."""
    noise = np.random.default_rng(3).integers(0, 255, (40, 56, 4)).astype(np.uint8)
    rgba = Image.fromarray(noise)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    frames: dict[str, Any] = {"save_all": True, "append_images": [rgb.transpose(Image.Transpose.ROTATE_180)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    saved: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("PNG", rgb, "PNG", {}),
        ("PNG with transparency", rgba, "PNG", {}),
        ("palette PNG", rgb.quantize(16), "PNG", {"transparency": 3}),
        ("16-bit PNG", Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG", {}),
        ("1-bit PNG", grey.convert("1"), "PNG", {}),
        ("animated PNG", rgb, "PNG", frames),
        ("PNG with profile and EXIF", rgb, "PNG", {"icc_profile": b"profile" * 20, "exif": exif.tobytes()}),
        ("JPEG", rgb, "JPEG", {"exif": exif.tobytes()}),
        ("progressive JPEG", rgb, "JPEG", {"progressive": True}),
        ("CMYK JPEG", rgb.convert("CMYK"), "JPEG", {"icc_profile": b"profile" * 20}),
        ("WebP", rgba, "WEBP", {"exif": exif.tobytes()}),
        ("lossless WebP", rgba, "WEBP", {"lossless": True}),
        ("animated WebP", rgb, "WEBP", frames),
        ("GIF", grey, "GIF", {}),
        ("animated GIF", rgb, "GIF", frames),
        ("BMP", rgb, "BMP", {}),
        ("palette BMP", rgb.quantize(16), "BMP", {}),
    ]
    return {name: _saved(image, form, **options) for name, image, form, options in saved}


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def many_scans(edge: int, scans: int) -> bytes:
    """Return a progressive JPEG of one shade whose last scan is repeated, at a few bytes each."""
    whole = _saved(Image.new("RGB", (edge, edge), (200, 100, 50)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * scans + whole[-2:]


def declared(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and has almost no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def long_text(length: int) -> bytes:
    """Return a small PNG with a comment that unpacks to `length` bytes."""
    sound = _saved(Image.new("L", (30, 30)), "PNG")
    return sound[:33] + _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(length), 9)) + sound[33:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with small changes: bytes, numbers at their bounds, pieces removed, doubled or swapped."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(len(changed)))
        how = int(rng.integers(6))
        if how == 0:
            changed[at] = int(rng.integers(256))
        elif how == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif how == 2:
            bound = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF][int(rng.integers(8))]
            size = int(rng.choice([2, 4]))
            changed[at : at + size] = (bound & (256**size - 1)).to_bytes(
                size, ["big", "little"][int(rng.integers(2))]
            )
        elif how == 3 and len(changed) > 40:
            del changed[at : at + int(rng.integers(1, 32))]
        elif how == 4:
            piece = changed[at : at + int(rng.integers(1, 64))]
            changed[at:at] = piece * int(rng.integers(1, 4))
        else:
            del changed[max(at, 16) :]
        if not changed:
            return b""
    return bytes(changed)
