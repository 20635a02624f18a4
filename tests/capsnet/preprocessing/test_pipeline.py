import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from capsnet.config import InputSpec
from capsnet.preprocessing import image_file
from capsnet.preprocessing.pipeline import (
    ImageTooLarge,
    NotAnImage,
    ObjectCount,
    PreprocessMode,
    decode,
    decode_uint8,
    is_cheap_to_decode,
)
from training.data.datasets import DatasetPart, load

MNIST = InputSpec(channels=1, height=28, width=28, preprocess="mnist")
FASHION = InputSpec(channels=1, height=28, width=28, preprocess="fashion")
WAYS: tuple[str, ...] = get_args(PreprocessMode)
COLOUR = InputSpec(channels=3, height=32, width=48, preprocess="resize")


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def enlarged(row: np.ndarray, size: int) -> np.ndarray:
    """A row's drawing as crisp ink: float (size,size), 1 on the strokes."""
    smooth = Image.fromarray(row).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip((np.asarray(smooth, np.float32) / 255 - 0.5) / 0.16 + 0.5, 0, 1)


def on_paper(ink: np.ndarray, *, shade: float = 1.0, noise: float = 4.0, contrast: float = 0.8) -> np.ndarray:
    """Dark ink on paper 900x1200, off centre, under light that falls to 1/shade across: uint8."""
    page = np.zeros((900, 1200), np.float32)
    page[40 : 40 + len(ink), 500 : 500 + len(ink)] = ink
    light = np.linspace(225, 225 / shade, 1200, dtype=np.float32)
    values = light * (1 - contrast * page) + np.random.default_rng(5).normal(0, noise, page.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


def agreement(seen: np.ndarray, row: np.ndarray) -> float:
    """Correlation of two images (28,28)."""
    return float(np.corrcoef(seen.ravel(), row.ravel())[0, 1])


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    mass = image.sum()
    return float(image.sum(1) @ np.arange(len(image)) / mass), float(
        image.sum(0) @ np.arange(len(image.T)) / mass
    )


# ------------------------------------------------------------------------ an image of the network's own size


@pytest.mark.parametrize(
    "saved",
    [
        encode,
        lambda row: encode(Image.fromarray(row).convert("RGB")),
        lambda row: encode(Image.fromarray(row).convert("RGBA")),
        lambda row: encode(Image.fromarray(row).convert("LA")),
        lambda row: encode(Image.fromarray(row).convert("P")),
        lambda row: encode(row.astype(np.uint16) * 257),
        lambda row: encode(row.astype(np.uint16)),
        lambda row: encode(row.astype(np.uint16) << 2),
        lambda row: encode(row.astype(np.uint16) * 16),
        lambda row: encode(255 - row),
        lambda row: encode(row, "BMP"),
        lambda row: encode(row, "GIF"),
        lambda row: encode(row, "WEBP", lossless=True),
    ],
    ids=[
        "L",
        "RGB",
        "RGBA",
        "LA",
        "P",
        "16 bit",
        "8 in 16 bit",
        "10 in 16 bit",
        "12 in 16 bit",
        "negative",
        "BMP",
        "GIF",
        "WebP",
    ],
)
def test_a_row_is_the_same_array_however_it_is_saved(
    saved: Callable[[np.ndarray], bytes], digits: DatasetPart, clothes: DatasetPart
) -> None:
    for split, spec in [(digits, MNIST), (clothes, FASHION)]:
        for row in split.images:
            seen = decode(saved(row[0]), spec)
            assert seen.dtype == np.float32
            np.testing.assert_array_equal(seen, row.astype(np.float32) / 255)


@pytest.mark.data
@pytest.mark.parametrize(("name", "spec"), [("mnist", MNIST), ("fashion_mnist", FASHION)])
def test_every_test_row_is_the_same_array_as_a_png(name: str, spec: InputSpec, data_folder: Path) -> None:
    for row in load(name, "test", data_folder).images:
        assert np.array_equal(decode_uint8(encode(row[0], compress_level=1), spec), row)


def test_a_bilevel_image_is_read_with_its_polarity(digits: DatasetPart) -> None:
    strokes = digits.images[0, 0] > 127
    for drawn in (strokes, ~strokes):
        np.testing.assert_array_equal(decode_uint8(encode(drawn), MNIST)[0], strokes * np.uint8(255))


def test_a_jpeg_of_a_row_is_nearly_the_row(digits: DatasetPart) -> None:
    row = digits.images[0, 0]
    assert agreement(decode(encode(row, "JPEG", quality=95), MNIST)[0], row) > 0.99


def test_cmyk_is_read(digits: DatasetPart) -> None:
    row = digits.images[0, 0]
    data = encode(Image.fromarray(row).convert("RGB").convert("CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    assert agreement(decode(data, MNIST)[0], row) > 0.98


@pytest.mark.parametrize("shade", [0, 90, 255])
@pytest.mark.parametrize("size", [(28, 28), (300, 200)])
def test_an_empty_image_is_black(shade: int, size: tuple[int, int]) -> None:
    for spec in (MNIST, FASHION):
        assert not decode(encode(Image.new("L", size, shade)), spec).any()
        assert not decode(encode(Image.new("RGBA", size, (shade, 0, 0, 0))), spec).any()


# ------------------------------------------------------------------------------- images as people make them


def test_ink_on_paper_under_uneven_light_is_the_digit(digits: DatasetPart) -> None:
    scores = []
    for row in digits.images[:12, 0]:
        page = Image.fromarray(on_paper(enlarged(row, 600), shade=3)).filter(ImageFilter.GaussianBlur(1.5))
        scores.append(agreement(decode(encode(page.convert("RGB"), "JPEG", quality=60), MNIST)[0], row))
    assert min(scores) > 0.7  # an extent that is one pixel off
    assert np.mean(scores) > 0.9


@pytest.mark.parametrize(
    "page",
    [
        lambda ink: encode(on_paper(ink, contrast=0.3), "JPEG"),
        lambda ink: encode(255 - on_paper(ink), "JPEG"),
        lambda ink: encode(
            np.pad(255 - (255 * ink).astype(np.uint8), ((30, 90), (200, 10)), constant_values=255)
        ),
        lambda ink: encode((255 * ink).astype(np.uint8)),
    ],
    ids=["pencil", "chalk on a board", "screenshot", "light on dark"],
)
def test_other_grounds_give_the_digit_too(page: Callable[[np.ndarray], bytes], digits: DatasetPart) -> None:
    scores = [agreement(decode(page(enlarged(row, 400)), MNIST)[0], row) for row in digits.images[:12, 0]]
    assert min(scores) > 0.7  # an extent that is one pixel off
    assert np.mean(scores) > 0.9


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (180, 20, 60)], ids=["black", "white", "red"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_drawing_on_transparency_is_read_from_its_alpha(
    ink: tuple[int, ...], kind: str, digits: DatasetPart
) -> None:
    row = digits.images[3, 0]
    layer = Image.new("RGBA", (200, 200), ink)
    layer.putalpha(Image.fromarray((255 * enlarged(row, 200)).astype(np.uint8)))
    assert agreement(decode(encode(layer, kind), MNIST)[0], row) > 0.9


def test_colours_on_transparency_lie_on_white() -> None:
    layer = Image.new("RGBA", (48, 32), (0, 0, 0, 0))
    layer.paste((255, 0, 0, 255), (0, 0, 24, 32))
    layer.paste((0, 0, 255, 128), (24, 0, 36, 32))
    seen = decode_uint8(encode(layer), COLOUR)  # (3,32,48)
    assert seen[:, 5, 5].tolist() == [255, 0, 0]
    assert seen[:, 5, 30].tolist() == [127, 127, 255]
    assert seen[:, 5, 45].tolist() == [255, 255, 255]


@pytest.mark.parametrize("edge", [28, 36, 40, 64])
def test_a_digit_fills_its_box_and_is_centred_by_mass(edge: int, digits: DatasetPart) -> None:
    spec = InputSpec(channels=1, height=edge, width=edge, preprocess="mnist")
    for row in digits.images[:20, 0]:
        seen = decode(
            encode(np.pad(enlarged(row, 200) < 0.5, ((9, 60), (99, 5)), constant_values=True)), spec
        )[0]
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == round(edge * 20 / 28)
        for position in centre_of_mass(seen):
            assert position == pytest.approx(edge / 2, abs=0.51)
        assert seen.max() == 1


def test_a_tight_crop_is_not_taken_for_noise(digits: DatasetPart) -> None:
    for row in digits.images[:50, 0]:
        rows, columns = np.flatnonzero(row.any(1)), np.flatnonzero(row.any(0))
        crop = 255 - row[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert decode(encode(np.kron(crop, np.ones((9, 9), np.uint8))), MNIST).any()


def test_a_row_enlarged_comes_back_as_the_row(digits: DatasetPart) -> None:
    rows = digits.images[:50, 0]
    large = [Image.fromarray(row).resize((280, 280), Image.Resampling.BICUBIC) for row in rows]
    assert (
        np.mean([agreement(decode(encode(i), MNIST)[0], r) for i, r in zip(large, rows, strict=True)]) > 0.93
    )


def test_a_garment_on_white_keeps_its_greys_and_fills_the_frame(clothes: DatasetPart) -> None:
    scores = []
    for row in clothes.images[:20, 0]:
        photo = np.full((700, 600), 255, np.uint8)
        photo[70:630, 20:580] -= np.asarray(Image.fromarray(row).resize((560, 560), Image.Resampling.BICUBIC))
        seen = decode_uint8(encode(photo, "JPEG"), FASHION)[0]
        scores.append(agreement(seen, row))
        shown = seen > 0
        assert max(shown.any(0).sum(), shown.any(1).sum()) >= 26
    assert min(scores) > 0.6  # fine checks differ by half a pixel
    assert np.mean(scores) > 0.8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image(orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (255, 0, 0)
    upright[16:, :24] = (0, 255, 0)
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: np.rot90,
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(np.ascontiguousarray(undo[orientation](upright)), exif=exif.tobytes())
    np.testing.assert_array_equal(decode_uint8(data, COLOUR), upright.transpose(2, 0, 1))


@pytest.mark.filterwarnings("default")  # Pillow's own warning
def test_broken_exif_is_no_reason_to_refuse() -> None:
    data = encode(np.zeros((32, 48), np.uint8), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, COLOUR).shape == (3, 32, 48)


def test_an_animation_shows_its_first_frame(digits: DatasetPart) -> None:
    frames = [Image.fromarray(row) for row in digits.images[:3, 0]]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_uint8(data, MNIST), digits.images[0])


def test_heic_is_read_where_its_plugin_is(digits: DatasetPart) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    row = digits.images[3, 0]
    photo = Image.fromarray(on_paper(enlarged(row, 600)))
    assert agreement(decode(encode(photo, "HEIF"), MNIST)[0], row) > 0.9


# --------------------------------------------------------------------------------------- the ways, and limits


def test_heic_without_its_plugin_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NotAnImage, match=r"HEIC is not read here .*pillow-heif.*allowed are PNG, JPEG"):
        decode(b"\x00\x00\x00\x18ftypheic" + bytes(40), MNIST)


def test_none_only_resizes(digits: DatasetPart) -> None:
    row = digits.images[0, 0]
    large = 255 - np.kron(row, np.ones((4, 4), np.uint8))
    seen = decode_uint8(encode(large), MNIST, preprocess="none")[0]
    assert agreement(seen, 255 - row) > 0.97
    assert seen[0, 0] == 255


def test_grey_is_repeated_for_a_network_that_takes_colour(digits: DatasetPart) -> None:
    spec = InputSpec(channels=3, height=28, width=28, preprocess="mnist")
    seen = decode_uint8(encode(digits.images[0, 0]), spec)
    np.testing.assert_array_equal(seen, np.repeat(digits.images[0], 3, axis=0))


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="preprocess is 'sharpen'; allowed: mnist, fashion, resize, none"):
        decode(encode(np.zeros((28, 28), np.uint8)), MNIST, preprocess="sharpen")


def test_other_formats_are_refused_and_the_allowed_ones_named() -> None:
    for data in (b"", b"hello"):
        with pytest.raises(NotAnImage, match=r"not an image of an allowed format .PNG, JPEG, WebP, BMP, GIF"):
            decode(data, MNIST)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"data:image/png;base64,iVBORw0KGgo=", "this is a data URL.* send those bytes"),
        (b"iVBORw0KGgoAAAANSUhEUg==", "base64 text: decode it"),
        (b"/9j/4AAQSkZJRg==", "base64 text: decode it"),
        (encode(np.zeros((9, 9), np.uint8), "TIFF"), "a TIFF file.*save it as PNG"),
        (b"%PDF-1.7 ...", "a PDF file.*export its page as PNG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg width="9"/>', "an SVG drawing.*export it as PNG"),
        (b"\0\0\0\x1cftypavif" + bytes(40), "an AVIF file.*save it as PNG or JPEG"),
    ],
    ids=["data URL", "base64 PNG", "base64 JPEG", "TIFF", "PDF", "SVG", "AVIF"],
)
def test_what_is_no_image_file_is_named(data: bytes, sentence: str) -> None:
    with pytest.raises(NotAnImage, match=sentence + ".*; allowed are PNG, JPEG"):
        decode(data, MNIST)


def test_a_huge_declared_size_is_refused_before_decoding() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"no pixels at all")
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ImageTooLarge, match="50,000 x 50,000 = 2,500,000,000 pixels; at most 50,000,000"):
        decode(bomb, MNIST)


def test_the_limit_on_pixels_is_exact() -> None:
    data = encode(np.zeros((20, 30), np.uint8))
    decode(data, MNIST, max_pixels=600)
    with pytest.raises(ImageTooLarge):
        decode(data, MNIST, max_pixels=599)


# -------------------------------------------------------------------------------------------------- any bytes


def scribble() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 255, (24, 40, 3)).astype(np.uint8))


WHOLE = {
    "PNG": encode(scribble()),
    "palette PNG": encode(scribble().quantize(16), transparency=3),
    "JPEG": encode(scribble(), "JPEG"),
    "progressive JPEG": encode(scribble(), "JPEG", progressive=True),
    "WebP": encode(scribble(), "WEBP"),
    "lossless WebP": encode(scribble(), "WEBP", lossless=True),
    "GIF": encode(scribble(), "GIF"),
    "BMP": encode(scribble(), "BMP"),
}


def answer(data: bytes, spec: InputSpec) -> np.ndarray | None:
    """The array, or None where the bytes were refused in the right way."""
    try:
        seen = decode(data, spec)
    except (NotAnImage, ImageTooLarge):
        return None
    assert seen.shape == (spec.channels, spec.height, spec.width)
    assert seen.dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1
    return seen


@pytest.mark.parametrize("kind", WHOLE)
def test_an_image_cut_anywhere_is_refused_or_complete(kind: str) -> None:
    whole = decode(WHOLE[kind], COLOUR)
    cut = [answer(WHOLE[kind][:length], COLOUR) for length in range(len(WHOLE[kind]))]
    assert all(seen is None or np.array_equal(seen, whole) for seen in cut)
    assert sum(seen is None for seen in cut) >= 0.95 * len(cut)


@pytest.mark.filterwarnings(
    "default"
)  # what Pillow warns of in a damaged file is none of the caller's concern
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_image_is_an_array_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for spec in (MNIST, COLOUR):
        answer(bytes(damaged), spec)


@pytest.mark.filterwarnings("default")
@given(st.sampled_from([b"", *(whole[:16] for whole in WHOLE.values())]), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_array_or_refused(beginning: bytes, rest: bytes) -> None:
    answer(beginning + rest, MNIST)


@given(
    st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1", "I;16"]),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(WAYS),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_any_image_of_any_size_is_an_array(mode: str, height: int, width: int, way: str, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257 if mode == "I;16" else noise)
    data = encode(image if mode in ("I;16", "RGBA") else image.convert("RGB").convert(mode))
    seen = decode(data, InputSpec(channels=1, height=28, width=28, preprocess="mnist"), preprocess=way)
    assert seen.shape == (1, 28, 28)
    assert np.isfinite(seen).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (100_000, 2)])
@pytest.mark.parametrize("way", WAYS)
def test_absurd_shapes_are_read(size: tuple[int, int], way: str) -> None:
    image = Image.effect_noise(size, 60)
    assert decode(encode(image), MNIST, preprocess=way).shape == (1, 28, 28)


def test_only_a_plain_png_of_the_own_small_size_is_quick(digits: DatasetPart) -> None:
    row = digits.images[0, 0]
    assert is_cheap_to_decode(encode(row), MNIST)
    assert is_cheap_to_decode(encode(np.zeros((32, 48, 3), np.uint8)), COLOUR)
    assert not is_cheap_to_decode(encode(np.pad(row, 1)), MNIST)  # has to be cropped
    assert not is_cheap_to_decode(encode(row, "BMP"), MNIST)
    assert not is_cheap_to_decode(encode(row)[:20], MNIST)
    large = InputSpec(channels=1, height=256, width=256, preprocess="mnist")
    assert not is_cheap_to_decode(encode(np.zeros((256, 256), np.uint8)), large)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    colour = InputSpec(channels=3, height=64, width=64, preprocess="resize")
    assert not is_cheap_to_decode(encode(noise), colour)  # 12 KB


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_a_png_with_a_part_that_unpacks_to_more_is_not_quick(digits: DatasetPart, kind: str) -> None:
    plain = encode(digits.images[0, 0])
    part = kind.encode() + b"a\0\0" + zlib.compress(bytes(1_000_000))
    chunk = struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    bomb = plain[:33] + chunk + plain[33:]  # after the header
    assert len(bomb) < 8192
    assert not is_cheap_to_decode(bomb, MNIST)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_file_of_several_images_is_told_from_one(kind: str) -> None:
    frames = [Image.new("L", (40, 30), shade) for shade in (200, 90, 20)]
    one, several, counted = io.BytesIO(), io.BytesIO(), ObjectCount()
    frames[0].save(one, kind)
    frames[0].save(several, kind, save_all=True, append_images=frames[1:])
    for data, animated in ((one.getvalue(), False), (several.getvalue(), True)):
        decode(data, MNIST, counted=counted)
        assert counted.first_frame == animated
    for cut in range(len(several.getvalue())):
        image_file.is_animated(several.getvalue()[:cut])  # never raises
