"""Decode an image file: recognise its format, hold its size to a limit, decode its pixels, turn it upright.

Nothing here knows networks. Whatever the bytes, a caller gets an image, `NotAnImage` or `ImageTooLarge`.
"""

import contextlib
import importlib
import importlib.util
import io
import math
import re
import zlib
from collections.abc import Callable

import numpy as np
from PIL import (
    ExifTags,
    Image,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401  (importing it registers the format)
)

from capsnet.image_encoding import MAX_PIXELS

# Pillow's own limit cannot be set per call and only warns between one and two times its value; `_check_size`
# replaces it with the caller's limit, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

# What a file of each allowed format begins with. Formats are few on purpose: each is code that untrusted files reach.
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}
# The signature of a PNG file and the beginning of its first chunk, after which the size stands.
PNG_HEADER = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
PROFILE_CHUNK = b"iCCP"
PACKED_CHUNKS = (b"zTXt", b"iTXt", PROFILE_CHUNK)

# A chunk of a PNG file is its length, its kind, its data and the check sum of these two.
PNG_SIGNATURE_SIZE = 8
PNG_CHUNK_SIZE = 12
# Encoders write chunks of 8 kB or more. Pillow takes microseconds for each, and a file of 20 MB can hold 1.6 million.
MAX_CHUNKS = 50_000

# A marker of a JPEG file, but for restarts (d0 to d7) within the pixels, where ff stands for itself before 00. More ff
# may stand before it; they are no part of the pattern, or a long run of them would be read to its end from each.
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN, FIRST_WITH_LENGTH = 0xD8, 0xD9, 0xDA, 0xC0
MAX_MARKERS = 10_000
# Encoders make about ten scans of a progressive JPEG. Each is decoded over the whole image, however few bytes it has.
MAX_SCANS = 32
# Pillow decodes run lengths of a BMP file in Python: 0.2 seconds a million pixels, however few bytes they have.
RUN_LENGTHS = (1, 2)
MAX_RUN_LENGTH_PIXELS = 1_000_000

# What the signatures of PNG, JPEG, GIF, WebP and BMP files become in base64.
BASE64_STARTS = (b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR", b"Qk0")
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
HEIF_SEQUENCES = {b"hevc", b"hevx", b"msf1"}
ANIMATED_WEBP = 2  # in the flags of a VP8X chunk
# A GIF file's header, its image descriptor with the byte before its data, and what these blocks begin with.
GIF_HEADER_SIZE, GIF_IMAGE_SIZE = 13, 11
GIF_IMAGE, GIF_EXTENSION = 0x2C, 0x21
HEIF_PLUGIN = "pillow_heif"

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

SIDEWAYS = {TURNS[number] for number in (5, 6, 7, 8)}

GREY_MODES = {"1", "L", "I", "I;16", "I;16B", "I;16L"}
STRIP_ROWS = 256  # of a large image that are worked on at a time

# Bytes of memory that one pixel takes while it is decoded, measured with images of 16 megapixels and rounded up.
# libwebp keeps three copies and Pillow makes a fourth, libheif two. For other formats only Pillow's own copy counts.
BYTES_PER_PIXEL = {"WEBP": 16, "HEIF": 9}
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # all other modes take four
COEFFICIENT_BYTES = 2  # of one colour of one pixel, for a JPEG file of several scans
ROW_BYTES = 8  # of a row: Pillow keeps its address, which counts where an image is one pixel wide
STRIP_BYTES = 5  # of a pixel of a strip, beside its copy
WORK_BYTES = 20  # of a pixel of the reduced image, until it is grey

# How far the colours of one ink may lie apart (0 to 255), so that lossy compression does not make two of one.
INK_TOLERANCE = 8


class NotAnImage(ValueError):
    """The bytes are not a whole image of an allowed format."""


class ImageTooLarge(ValueError):
    """The image declares more pixels than are allowed."""


def allowed_formats() -> tuple[str, ...]:
    """Return the names of the formats that can be read here; HEIC where its optional plug-in is installed."""
    heic = ("HEIC",) if importlib.util.find_spec(HEIF_PLUGIN) else ()
    return ("PNG", "JPEG", "WebP", "BMP", "GIF", *heic)


def read(
    data: bytes,
    *,
    enough: int,
    grey: bool,
    max_pixels: int = MAX_PIXELS,
    claim: Callable[[int], None] | None = None,
) -> Image.Image:
    """Decode an image as `read_with_size` does, without its size."""
    return read_with_size(data, enough=enough, grey=grey, max_pixels=max_pixels, claim=claim)[0]


def read_with_size(
    data: bytes,
    *,
    enough: int,
    grey: bool,
    max_pixels: int = MAX_PIXELS,
    claim: Callable[[int], None] | None = None,
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image and turn it as its EXIF data says; of an animation, the first frame.

    Gives the image, and the width and height that it has at its full size, turned as well.

    Parameters
    ----------
    data
        A whole file; its bytes decide the format.
    enough
        A longer edge, in pixels, that satisfies the caller: formats that can decode to a smaller size (JPEG) may
        do so down to this.
    grey
        The caller needs no colour; it is then not decoded where the format allows that.
    max_pixels
        Limit on width x height as declared.
    claim
        Called with the bytes of memory that decoding will take, before it begins; may raise to refuse that.

    Raises
    ------
    NotAnImage
        If the format is not an allowed one or the file is damaged or cut short.
    ImageTooLarge
        If the image declares more than `max_pixels`.
    """
    kind = _recognise(data)
    scans = _check_scans(data) if kind == "JPEG" else 1
    if kind == "PNG":
        data = _checked_png(data)
    # Pillow's decoders answer damaged files with nearly any exception (struct.error, SyntaxError, MemoryError, ...),
    # and each of them means the same to the caller.
    try:
        image = Image.open(io.BytesIO(data), formats=(kind,))
    except Exception as error:  # noqa: BLE001
        raise NotAnImage(_damaged(kind, error)) from None
    _check_size(image, max_pixels)
    if kind == "BMP" and image.info.get("compression") in RUN_LENGTHS:
        _check_size(image, min(max_pixels, MAX_RUN_LENGTH_PIXELS), " in a BMP file of run lengths")
    kept = COEFFICIENT_BYTES * len(image.getbands()) * math.prod(image.size) if scans > 1 else 0
    size = image.size
    try:
        if kind == "JPEG":
            _draft(image, enough, grey)
    except Exception as error:  # noqa: BLE001
        raise NotAnImage(_damaged(kind, error)) from None
    if claim is not None:
        claim(kept + memory_to_decode(image, kind, enough))
    try:
        image.load()
    except Exception as error:  # noqa: BLE001
        raise NotAnImage(_damaged(kind, error)) from None
    if image.mode in ("P", "PA") and image.palette is None:
        raise NotAnImage(_damaged(kind, ValueError("it has no palette")))
    turn, reduced = exif_transpose(image), _reduce(image, enough)
    if turn is None:
        return reduced, size
    turned = reduced.transpose(turn)
    return turned, size[::-1] if turn in SIDEWAYS else size


def memory_to_decode(image: Image.Image, kind: str, enough: int) -> int:
    """Return the bytes of memory that an opened image takes until it is reduced and made grey.

    The coefficients that a JPEG file of several scans takes besides are not among them.
    """
    width, height = image.size
    stored = STORED_BYTES.get(image.mode, 4)
    factor = max(1, max(image.size) // (2 * enough))
    decoded = BYTES_PER_PIXEL.get(kind, stored) * width * height + ROW_BYTES * height
    strip = (stored + STRIP_BYTES) * width * min(height, max(STRIP_ROWS, factor)) if factor > 1 else 0
    return decoded + strip + WORK_BYTES * -(-width // factor) * -(-height // factor)


def is_animated(data: bytes) -> bool:
    """Tell whether a file holds more images than the one that is read, as far as its bytes say so in a moment."""
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: max(data.find(b"IDAT"), 0)]
    if data[8:16] == b"WEBPVP8X":
        return len(data) > 20 and bool(data[20] & ANIMATED_WEBP)
    if data[4:8] == b"ftyp":
        return data[8:12] in HEIF_SEQUENCES
    return data.startswith(b"GIF8") and _has_second_frame(data)


def _has_second_frame(data: bytes) -> bool:
    """Tell whether a GIF file goes on after its first image, by the sizes of its blocks."""
    place, found = GIF_HEADER_SIZE + _palette_size(data, 10), 0
    while place < len(data):
        if data[place] == GIF_EXTENSION:
            place += 2
        elif data[place] == GIF_IMAGE:
            found += 1
            if found == 2:
                return True
            place += GIF_IMAGE_SIZE + _palette_size(data, place + 9)
        else:
            return False
        while place < len(data) and data[place]:
            place += data[place] + 1
        place += 1
    return False


def _palette_size(data: bytes, place: int) -> int:
    """Return the bytes of the palette that a GIF file's byte of flags at `place` announces."""
    flags = data[place] if place < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def size_of_plain_png(data: bytes) -> tuple[int, int] | None:
    """Return the (width, height) of a PNG file; None for other formats, and where parts could unpack to much more.

    Chunks of text and of colour profiles are compressed beside the pixels, to a size that nothing declares.
    """
    if not data.startswith(PNG_HEADER) or any(kind in data for kind in PACKED_CHUNKS):
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def grey_pixels(image: Image.Image) -> np.ndarray:
    """Return an image in mode `L` as uint8 (H,W), read only: as `np.asarray`, in half the time for a small one."""
    width, height = image.size
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width)


def min_max(image: Image.Image) -> tuple[int, int]:
    """Return the least and the greatest value of an image of one band."""
    least, greatest = image.getextrema()
    return int(least), int(greatest)  # type: ignore[arg-type]  # one band, so two numbers


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to mode `L` (grey) or `RGB`, with its transparency laid on white."""
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits a pixel, grey
        return _to_eight_bits(image, _surplus_bits(image)).convert(mode)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB").convert(mode)


def shrink(image: Image.Image, longest: int) -> Image.Image:
    """Shrink an image to `longest` pixels on the longer edge, each the mean of what it covers; none grows."""
    scale = min(1.0, longest / max(image.size))
    return image.resize(_scaled(image.size, scale), Image.Resampling.BOX)


def alpha_as_drawing(image: Image.Image) -> Image.Image | None:
    """Return the transparency as a grey image, where it alone is the drawing: all that is opaque has one colour.

    None for an opaque image, and for one whose colours say something.
    """
    opacity = _opacity(image)
    if opacity is None:
        return None
    strongest = int(np.asarray(opacity).max())
    visible = opacity.point([255 if 0 < strongest <= 2 * level else 0 for level in range(256)])
    counts = np.reshape(image.convert("RGBA").convert("RGB").histogram(visible), (3, 256))
    spread = [np.ptp(np.flatnonzero(band)) if band.any() else 0 for band in counts]
    return opacity if max(spread) <= INK_TOLERANCE else None


def _recognise(data: bytes) -> str:
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    allowed = ", ".join(allowed_formats())
    if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
        if not importlib.util.find_spec(HEIF_PLUGIN):
            raise NotAnImage(
                f"HEIC is not read here (that takes the package pillow-heif); allowed are {allowed}"
            )
        importlib.import_module(HEIF_PLUGIN).register_heif_opener()
        return "HEIF"
    if name := _other_format(data):
        raise NotAnImage(f"{name}; allowed are {allowed}")
    begins = f"the bytes begin with {data[:8].hex(' ')}" if data else "there are no bytes"
    raise NotAnImage(f"not an image of an allowed format ({allowed}): {begins}")


def _other_format(data: bytes) -> str | None:
    """Name what the bytes are, and what to send instead; None where that is not known."""
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:5].lower() == b"data:":
        return "this is a data URL, not an image file: decode what follows its comma and send those bytes"
    if start.startswith(BASE64_STARTS):
        return "this is an image file as base64 text: decode it and send the bytes"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "this is a TIFF file, which is not read here: save it as PNG"
    if start.startswith(b"%PDF-"):
        return "this is a PDF file, not an image file: export its page as PNG"
    if start[:4].lower() == b"<svg" or (
        start.startswith((b"<?xml", b"<!")) and b"<svg" in data[:4096].lower()
    ):
        return "this is an SVG drawing, which is not read here: export it as PNG"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "this is an AVIF file, which is not read here: save it as PNG or JPEG"
    return None


def _damaged(kind: str, error: Exception) -> str:
    # Pillow's "cannot identify" names the buffer's address, which helps no user.
    reason = "" if isinstance(error, UnidentifiedImageError) else str(error)
    return f"the {kind} file is damaged or cut short" + (f" ({reason})" if reason else "")


def _checked_png(data: bytes) -> bytes:
    """Return a PNG file without its colour profile, which changes no answer: Pillow refuses those above 1 MB.

    Refuse a file whose pixels are not those that were written, since Pillow skips the check sums of their chunks, and
    one of very many chunks.
    """
    view, start, chunks = memoryview(data), PNG_SIGNATURE_SIZE, 0
    profile: tuple[int, int] | None = None
    while start + PNG_CHUNK_SIZE <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + PNG_CHUNK_SIZE + int.from_bytes(view[start : start + 4])
        if kind == b"IDAT" and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise NotAnImage(_damaged("PNG", ValueError("a check sum of its pixels is wrong")))
        if kind == PROFILE_CHUNK:
            profile = start, end
        if kind == b"IEND":
            break
        start, chunks = end, chunks + 1
        if chunks > MAX_CHUNKS:
            raise NotAnImage(f"the PNG file comes in more than {MAX_CHUNKS} chunks")
    return data if profile is None else data[: profile[0]] + data[profile[1] :]


def _check_scans(data: bytes) -> int:
    """Count the scans of a JPEG file up to its end, behind which cameras append films, and refuse very many."""
    scans, start = 0, 0
    for _ in range(MAX_MARKERS):
        marker = MARKER.search(data, start)
        if marker is None or (code := marker[1][0]) == END_OF_IMAGE:
            return scans
        scans += code == START_OF_SCAN
        if scans > MAX_SCANS:
            raise NotAnImage(f"the JPEG file comes in more than {MAX_SCANS} scans")
        start = marker.end()
        # What lies below is in no valid file: to skip as much as it says could skip scans.
        if code >= FIRST_WITH_LENGTH and code != START_OF_IMAGE:
            start += int.from_bytes(data[start : start + 2])
    raise NotAnImage(f"the JPEG file is damaged or has more than {MAX_MARKERS} parts")


def _check_size(image: Image.Image, max_pixels: int, where: str = "") -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"the image declares {width:,} x {height:,} = {width * height:,} pixels; "
            f"at most {max_pixels:,} are allowed{where}"
        )


def _draft(image: Image.Image, enough: int, grey: bool) -> None:
    """Let a JPEG decoder skip work: colour that is not needed, and halvings down to `enough`."""
    scale = min(1.0, enough / max(image.size))
    image.draft("L" if grey else None, _scaled(image.size, scale))


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reduce(image: Image.Image, enough: int) -> Image.Image:
    """Bring an image far larger than is needed down to a whole fraction of its size, before anything copies it.

    Strip by strip: what mode conversion and premultiplied alpha need is then a strip's memory and not an image's.
    """
    factor = max(image.size) // (2 * enough)
    if factor < 2:
        return image
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in GREY_MODES else "RGB"
    surplus = _surplus_bits(image) if image.mode.startswith("I") else 0
    width, height = image.size
    reduced = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, STRIP_ROWS // factor)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        strip = _to_eight_bits(strip, surplus) if image.mode.startswith("I") else strip
        reduced.paste(strip.convert(mode).reduce(factor), (0, top // factor))
    return reduced


def exif_transpose(image: Image.Image) -> Image.Transpose | None:
    """Return how to turn the image as EXIF says; EXIF data that cannot be read turns nothing."""
    if "exif" not in image.info:
        return None
    with contextlib.suppress(Exception):
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _opacity(image: Image.Image) -> Image.Image | None:
    """Return the alpha channel (L), or None where every pixel is opaque."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if int(np.asarray(alpha).min()) < 255 else None


def _surplus_bits(image: Image.Image) -> int:
    """Return how many bits more than 8 the values of a 16-bit image have: 0, 2, 4 or 8.

    Cameras and scanners put their 10 or 12 bits into 16 as they are. 14 bits are taken for 16: they cannot be told from
    a dark image.
    """
    greatest = min_max(image)[1]
    return next((bits for bits in (0, 2, 4) if greatest < 256 << bits), 8)


def _to_eight_bits(image: Image.Image, surplus: int) -> Image.Image:
    """Convert 16-bit grey to `L`, without the lowest `surplus` bits."""
    values = np.clip(np.asarray(image), 0, 65535)
    return Image.fromarray((values >> surplus).astype(np.uint8))
