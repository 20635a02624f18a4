"""Turn any image file into the image array that a network takes: one path for training, serving and thresholds.

    bytes -> image_file.read -> ink on the ground -> object -> scaled and placed -> uint8 (C,H,W) -> [0,1]

Every array is made in 8 bits and only then divided by 255, so an image of the network's input that is shown to a
person is exactly what the network saw, and a row of a data set and the same row in a PNG are one array.

The ways (`InputSpec.preprocess`), after EXIF turning:

`mnist`    light strokes on black. The ground (paper, board) is estimated as a smooth surface and divided away, the
           strokes are stretched to full contrast, cropped, scaled with their aspect kept into 20/28 of the frame and
           placed so that their centre of mass is the frame's: LeCun's recipe, in proportion for other sizes.
`fashion`  as `mnist`, but the grey levels are kept, and the longer edge fills the frame, the garment centred.
`resize`   transparency laid on white, grey or colour as the network takes it, resized to the frame.
`none`     the same as `resize`: for an image that was prepared in another way.

Under `mnist` and `fashion` an image of the network's own size is taken as it is, but for its polarity.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageChops

from capsnet.config import InputSpec
from capsnet.image_encoding import MAX_PIXELS
from capsnet.preprocessing import image_file
from capsnet.preprocessing.colour_contrast import colour_contrast
from capsnet.preprocessing.crossed_out import is_crossed_out
from capsnet.preprocessing.digits import ObjectCount, cropped, is_symbol, segment_digits, widen_strokes
from capsnet.preprocessing.global_background import LEAST_CONTRAST, NOISE_LEVELS, contrast_to_ground
from capsnet.preprocessing.image_file import ImageTooLarge, NotAnImage, size_of_plain_png
from capsnet.preprocessing.local_background import blurred, stroke_contrast
from capsnet.preprocessing.panels import find_panel
from capsnet.preprocessing.underlines import clear_below, find_underline
from capsnet.preprocessing.up_strokes import shorten_up_stroke

__all__ = [
    "MAX_PIXELS",
    "ImageTooLarge",
    "NotAnImage",
    "ObjectCount",
    "PreprocessMode",
    "decode",
    "decode_uint8",
    "is_cheap_to_decode",
]

PreprocessMode = Literal["mnist", "fashion", "resize", "none"]
WAYS = get_args(PreprocessMode)

# Longer edge of the image in which the object is sought: enough for a thin pen, few enough to be quick.
WORKING_EDGE = 480
DIGIT_SHARE = 20 / 28  # of the frame that LeCun's digits fill
FAINT = 0.2  # contrast: where nothing is stronger, the colours may say more
LEAST_COLOURED = 8  # pixels of the shorter edge
# What tells a row of a data set from a scene of the same size. Of MNIST's 70,000 rows the digit is 19 or 20 of
# the 28 pixels long, its middle at most 5.5 pixels from the frame's, and more than half of the pixels are black.
SIZE_TOLERANCE = 0.05  # of the frame
MOST_OFF = 0.4  # between the digit's middle and the frame's, of half of the frame
MOST_BLACK = 16  # of 255: what lossy compression makes of black
LEAST_GROUND = 0.5  # of the pixels
# A file of a data set's row is far below both; 8 KB of nothing but headers are read in a millisecond.
QUICK_BYTES = 8192
QUICK_PIXELS = 64 * 64
FAINTEST_STROKE = 0.2  # of the strongest; fainter pixels belong to the ground


def decode(
    data: bytes,
    spec: InputSpec,
    *,
    preprocess: str | None = None,
    max_pixels: int = MAX_PIXELS,
    objects: int = 1,
    claim: Callable[[int], None] | None = None,
    counted: ObjectCount | None = None,
    digits: bool = True,
) -> np.ndarray:
    """Decode an image file into a network's image array.

    Parameters
    ----------
    data
        A whole image file.
    spec
        The array that the network takes.
    preprocess
        A `PreprocessMode` to take instead of the spec's.
    max_pixels
        Limit on the pixels that the image declares.
    objects
        How many digits `mnist` looks for.
    claim
        Called with the bytes of memory that decoding will take, before it begins; may raise to refuse that.
    counted
        Takes up how many separate objects `mnist` finds, 0 where it need not look for them, and whether the file
        holds more images than the first.
    digits
        Whether the classes are the ten digits, so that what only a digit has may be mended: a ring around it, the
        slash of a 0, the up-stroke of a 1. A digit that is crossed out is then taken for blank.

    Returns
    -------
    np.ndarray
        float32 (C,H,W) in [0,1], multiples of 1/255.

    Raises
    ------
    NotAnImage
        If the bytes are not a whole image of an allowed format.
    ImageTooLarge
        If the image declares more pixels than `max_pixels`.
    ValueError
        If `preprocess` is not a `PreprocessMode`.
    """
    pixels = decode_uint8(
        data,
        spec,
        preprocess=preprocess,
        max_pixels=max_pixels,
        objects=objects,
        claim=claim,
        counted=counted,
        digits=digits,
    )
    return pixels / np.float32(255)


def is_cheap_to_decode(data: bytes, spec: InputSpec) -> bool:
    """Tell whether a file decodes sooner than a thread wakes: a small plain PNG of the network's own size."""
    own = (spec.width, spec.height)
    return len(data) <= QUICK_BYTES and math.prod(own) <= QUICK_PIXELS and size_of_plain_png(data) == own


def decode_uint8(
    data: bytes,
    spec: InputSpec,
    *,
    preprocess: str | None = None,
    max_pixels: int = MAX_PIXELS,
    objects: int = 1,
    claim: Callable[[int], None] | None = None,
    counted: ObjectCount | None = None,
    digits: bool = True,
) -> np.ndarray:
    """Decode as `decode` does, without the division: uint8 (C,H,W)."""
    way = preprocess or spec.preprocess
    if way not in WAYS:
        raise ValueError(f"preprocess is '{way}'; allowed: {', '.join(WAYS)}")
    if counted is not None:
        counted.first_frame = image_file.is_animated(data)
    if way in ("resize", "none"):
        colour = spec.channels == 3
        image = image_file.read(
            data,
            enough=2 * max(spec.height, spec.width),
            grey=not colour,
            max_pixels=max_pixels,
            claim=claim,
        )
        return _channels_first(_resize(image, spec, "RGB" if colour else "L"), spec.channels)
    digits &= objects == 1
    image = image_file.read(data, enough=WORKING_EDGE, grey=True, max_pixels=max_pixels, claim=claim)
    found = _read_object(image, spec, way, objects, counted, digits)
    if found is None and way == "mnist":
        # Nothing differs in brightness. A JPEG was decoded without its colours.
        if image.mode == "L" and not data.startswith(image_file.PNG_HEADER):
            image = image_file.read(data, enough=WORKING_EDGE, grey=False, max_pixels=max_pixels, claim=claim)
        found = _read_coloured(image, spec, objects, counted, digits)
        found = (
            _read_object(image, spec, way, objects, counted, digits, least=0.0) if found is None else found
        )
    if found is None:
        found = np.zeros((spec.height, spec.width), np.uint8)
    return _channels_first(found, spec.channels)


def _resize(image: Image.Image, spec: InputSpec, mode: str) -> np.ndarray:
    """Scale the whole image to the network's size, antialiased: uint8 (H,W) or (H,W,3)."""
    return np.asarray(
        image_file.flatten(image, mode).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
    )


def _channels_first(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Move channels first, (H,W) or (H,W,3) -> (C,H,W); grey is repeated for a network that takes colour."""
    if pixels.ndim == 2 and channels == 1:
        return pixels[None]
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return np.repeat(pixels[None], channels, axis=0)


def _read_object(
    image: Image.Image,
    spec: InputSpec,
    way: str,
    objects: int,
    counted: ObjectCount | None,
    digits: bool,
    *,
    least: float = FAINT,
) -> np.ndarray | None:
    """Return light strokes (`mnist`) or a light garment (`fashion`) on black: uint8 (H,W).

    None where nothing stands out, or where no stroke has the `least` contrast.
    """
    drawing = image_file.alpha_as_drawing(image)
    grey = drawing or image_file.flatten(image, "L")
    if image.size == (spec.width, spec.height):
        if way == "fashion":
            return image_file.grey_pixels(drawing) if drawing else light_on_dark(grey)
        if (row := find_row(grey, objects, alone=drawing is not None)) is not None:
            return row
    values = np.asarray(image_file.shrink(grey, WORKING_EDGE))
    if way == "fashion":
        return _fashion_item(values, drawing is not None, spec)
    if drawing:
        strokes = segment_digits(values / np.float32(255), 0.0, objects, counted, digits=digits)
    else:
        strokes = find_strokes(values, objects, counted, digits=digits, least=least)
    return place_digit(strokes, spec, digits=digits, symbol=is_symbol(objects, digits))


def find_strokes(
    values: np.ndarray,
    objects: int = 1,
    counted: ObjectCount | None = None,
    *,
    digits: bool = True,
    least: float = FAINT,
    soft: bool = False,
    dark: bool | None = None,
) -> np.ndarray | None:
    """Crop a grey image uint8 (h,w) to the strokes of its digit: float32 (h,w); None where it shows none."""
    if panel := find_panel(values):
        contrast, noise = stroke_contrast(np.ascontiguousarray(values[panel]))
        if (strokes := segment_digits(contrast, noise, objects, counted, digits=digits)) is not None:
            return strokes
    contrast, noise = stroke_contrast(values, dark)
    if contrast.max() < least:
        return None
    return segment_digits(contrast, noise, objects, counted, grey=values, digits=digits, soft=soft)


def _read_coloured(
    image: Image.Image, spec: InputSpec, objects: int, counted: ObjectCount | None, digits: bool
) -> np.ndarray | None:
    """Return strokes whose ink is as bright as its ground, light on black, uint8 (H,W); None without colours."""
    if image.mode in image_file.GREY_MODES or min(image.size) < LEAST_COLOURED:
        return None
    pixels = np.asarray(image_file.shrink(image_file.flatten(image, "RGB"), WORKING_EDGE))
    values = colour_contrast(pixels)
    if values is None:
        return None
    strokes = segment_digits(*stroke_contrast(values), objects, counted, grey=values, digits=digits)
    return place_digit(strokes, spec, digits=digits, symbol=is_symbol(objects, digits))


def place_digit(
    strokes: np.ndarray | None, spec: InputSpec, *, digits: bool = False, symbol: bool = False
) -> np.ndarray | None:
    """Place strokes float32 (h,w), at their usual width, as a data set's are: uint8 (H,W).

    Of `digits`, one that is crossed out becomes blank, and the long up-stroke of a 1 is cut off. The strokes of a
    `symbol` stay apart where they are.
    """
    if strokes is None:
        return None
    height, width = round(spec.height * DIGIT_SHARE), round(spec.width * DIGIT_SHARE)
    large = widen_strokes(strokes, height, width, display=not symbol)
    if digits:
        canvas = fit_into(large, 2 * height, 2 * width)
        if (top := find_underline(canvas)) is not None:
            large = widen_strokes(cropped(clear_below(large, top / len(canvas))), height, width)
            canvas = fit_into(large, 2 * height, 2 * width)
        if is_crossed_out(canvas):
            return np.zeros((spec.height, spec.width), np.uint8)
        shortened = shorten_up_stroke(canvas)
        large = large if shortened is None else shortened
    box = fit_into(large, height, width)
    return center_by_mass(box / box.max(), spec.height, spec.width)


def _fashion_item(values: np.ndarray, alone: bool, spec: InputSpec) -> np.ndarray | None:
    """Return a garment on black in its greys, uint8 (H,W); `alone` where the values are its own, without a ground."""
    contrast, noise = (values / np.float32(255), 0.0) if alone else contrast_to_ground(values)
    found = find_object(contrast, noise)
    if found is None:
        return None
    return place_by_box(fit_into(found, spec.height, spec.width), spec.height, spec.width)


def find_row(image: Image.Image, objects: int, *, alone: bool) -> np.ndarray | None:
    """Return a row of a data set of digits, light on dark: uint8 (H,W); None where it is a scene of the same size.

    A row has a black ground and a centred digit.

    Parameters
    ----------
    image
        The grey image.
    objects
        How many digits the row may show; of several, only the ground is looked at.
    alone
        Whether the image is a drawing without a ground, which is never turned.
    """
    # Pillow's search for pixels that are not black takes a tenth of the time of NumPy's, and settles it for exact rows.
    box, shape = image.getbbox(), (image.height, image.width)
    centred = objects == 1 and _is_centred(box, shape)
    if centred and box and min(box[:2]) > 0 and box[2] < shape[1] and box[3] < shape[0]:
        return image_file.grey_pixels(image)  # black all around: nothing to turn
    row = image_file.grey_pixels(image) if alone else light_on_dark(image)
    if centred or (objects == 1 and _is_centred(ImageChops.invert(image).getbbox(), shape)):
        return row
    if np.mean(row <= MOST_BLACK) < LEAST_GROUND:
        return None
    ink = row > 2 * MOST_BLACK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return row
    if objects > 1:
        found = bool(np.mean([row[0], row[-1], row[:, 0], row[:, -1]]) <= MOST_BLACK)
    else:
        found = _is_centred(
            (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), row.shape
        )
    return row if found else None


def _is_centred(box: tuple[int, int, int, int] | None, shape: tuple[int, ...]) -> bool:
    """Tell whether an extent (left, top, right, bottom) is as large as a data set's digits are, and near the middle."""
    if box is None:
        return True
    left, top, right, bottom = box
    height, width = shape
    size = max((right - left) / width, (bottom - top) / height)
    off = max(abs(left + right - width) / width, abs(top + bottom - height) / height)
    return abs(size - DIGIT_SHARE) < SIZE_TOLERANCE and off <= MOST_OFF


def light_on_dark(image: Image.Image) -> np.ndarray:
    """Return the pixels (H,W) of a grey image, or of its negative where the border is lighter than the mid-range.

    One shade all over is ground, whichever it is, and becomes black. Of the 140,000 rows of MNIST and Fashion-MNIST
    none is turned, and of their negatives every one.
    """
    # Pillow and bytes: NumPy takes several times as long to begin with so few numbers as these do to be done.
    darkest, lightest = image_file.min_max(image)
    if darkest == lightest:
        return np.zeros((image.height, image.width), np.uint8)
    pixels, width = image.tobytes(), image.width
    last = len(pixels) - width  # where the last row begins
    border = pixels[:width] + pixels[last:] + pixels[width:last:width] + pixels[2 * width - 1 : last : width]
    grey = np.frombuffer(pixels, np.uint8).reshape(-1, width)
    return 255 - grey if 2 * sum(border) > (darkest + lightest) * len(border) else grey


def find_object(contrast: np.ndarray, noise: float) -> np.ndarray | None:
    """Crop to what stands out; None where nothing does. float32 (h,w), zero where it is ground."""
    floor = max(NOISE_LEVELS * noise, LEAST_CONTRAST)
    # Among so many pixels some are noise beyond any level, but their neighbours are not.
    stands_out = (contrast > floor) & (_neighbourhood(contrast) > floor / 2)
    if not stands_out.any():
        return None
    ink = np.where(stands_out, contrast, np.float32(0))
    inside = ink > FAINTEST_STROKE * ink.max()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _neighbourhood(contrast: np.ndarray) -> np.ndarray:
    """Return the mean of the 3 x 3 pixels around each: float32 (h,w)."""
    return blurred(np.round(contrast * 255).astype(np.uint8)) / np.float32(255)


def fit_into(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to the largest size that fits, aspect kept, antialiased: float32, at most (height,width)."""
    scale = min(height / values.shape[0], width / values.shape[1])
    size = (max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale)))
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def center_by_mass(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Lay on black with the centre of mass on the frame's middle, as MNIST's is: uint8 (height,width)."""
    row = (values.sum(axis=1) @ np.arange(values.shape[0])) / values.sum()
    column = (values.sum(axis=0) @ np.arange(values.shape[1])) / values.sum()
    return _place(values, round(height / 2 - row), round(width / 2 - column), height, width)


def place_by_box(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Lay on black with the garment in the middle: uint8 (height,width)."""
    return _place(values, (height - values.shape[0]) // 2, (width - values.shape[1]) // 2, height, width)


def _place(values: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    frame = np.zeros((height, width), np.uint8)
    top = min(max(top, 0), height - values.shape[0])
    left = min(max(left, 0), width - values.shape[1])
    frame[top : top + values.shape[0], left : left + values.shape[1]] = np.round(np.clip(values, 0, 1) * 255)
    return frame
