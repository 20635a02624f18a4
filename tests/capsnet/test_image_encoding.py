"""Anything that holds an image becomes the bytes of an image file; what holds none is named with what to do."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from capsnet import CapsnetError
from capsnet.image_encoding import encode, image_bytes, iterate, path_problem


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_bytes_and_arrays_of_any_kind_are_read() -> None:
    file = bytes(encode(np.asarray(Tensor())))
    for image in (file, bytearray(file), memoryview(file), io.BytesIO(file), Tensor()):
        assert image_bytes(image) == file  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (
            [[0, 255], [255, 0]],
            "not list; pass several images to classify_many, and rows of pixels as an array",
        ),
        (None, "not NoneType$"),
        (np.zeros((0, 0)), "the array is empty"),
        (np.zeros((2, 28, 28, 1)), "pass several images to classify_many"),
        (np.zeros((28, 28), bool), r"convert it with astype\(float\)"),
        (np.zeros((28, 28), int), r"convert it with astype\(numpy.uint8\)"),
        (np.full((28, 28), 300, np.uint16), "divide it by its largest possible value, such as 511$"),
        (np.full((28, 28), 65_535, np.uint16), "divide it by its largest possible value, such as 65535$"),
        (np.full((28, 28), -1), r"not int64 of shape \(28, 28\)$"),
        (np.zeros(784, np.uint8), r"not uint8 of shape \(784,\)$"),
        (Image.new("L", (0, 5)), "the image of Pillow is empty: 0 × 5 pixels"),
        (Image.new("La", (5, 5)), "mode 'La' should be converted to RGB first"),
        (Image.new("I", (5, 5), 70_000), "in mode 'I' reaches from 70000 to 70000; 0 to 65535 is read"),
        (Image.new("F", (5, 5), 255.0), "the floats reach from 255 to 255; they must lie between 0 and 1"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(image: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        image_bytes(image)


def test_images_of_pillow_with_more_than_8_bits_are_read() -> None:
    grey = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    wide = grey.astype(np.uint16) * 257
    for image in (
        Image.fromarray(wide),
        Image.fromarray(wide.astype(np.int32)),
        Image.frombytes("I;16B", (8, 8), wide.astype(">u2").tobytes()),
    ):
        assert (np.asarray(Image.open(io.BytesIO(image_bytes(image)))) == wide).all()
    shares = Image.fromarray((grey / 255).astype(np.float32))
    assert (np.asarray(Image.open(io.BytesIO(image_bytes(shares)))) == grey).all()


def test_a_damaged_image_of_pillow_is_an_error_of_the_library() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (400, 400), np.uint8)
    data = bytearray(encode(rows))
    second = data.index(b"IDAT", data.index(b"IDAT") + 4)
    data[second : second + 4] = b"\x00DAT"
    with (
        Image.open(io.BytesIO(data)) as image,
        pytest.raises(CapsnetError, match="the image of Pillow cannot be decoded") as error,
    ):
        image_bytes(image)
    assert error.value.kind == "not-an-image"


def test_the_colour_profile_of_an_image_stays_here() -> None:
    image = Image.new("RGB", (8, 8), "red")
    image.info["icc_profile"] = bytes(2_000_000)
    assert len(image_bytes(image)) < 1000


@pytest.mark.parametrize("shape", [(40, 30, 3), (40, 30, 4), (40, 30, 1), (40, 30), (40,)])
def test_one_array_is_not_many_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="classify takes a single one"):
        iterate(np.zeros(shape, np.uint8))
    assert len(list(iterate(np.zeros((5, 28, 28), np.uint8)))) == 5


@pytest.mark.parametrize("path", ["C://scans/a.png", "c:/scans/a.png", "a//b.png"])
def test_a_path_with_slashes_is_no_url(path: str) -> None:
    assert not path_problem(path)
    assert "a URL is not read" in path_problem("https://host/a.png")


def test_the_transparency_of_a_palette_is_kept() -> None:
    image = Image.new("PA", (4, 4))
    image.putalpha(Image.linear_gradient("L").resize((4, 4)))
    alpha = np.asarray(Image.open(io.BytesIO(image_bytes(image))).getchannel("A"))
    assert (alpha == np.asarray(image.getchannel("A"))).all()


def test_what_arithmetic_adds_to_floats_is_rounded_away() -> None:
    assert image_bytes(np.full((2, 2), 1 + 1e-9)) == image_bytes(np.ones((2, 2)))


def test_an_image_of_pillow_is_decoded_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Image.new("L", (1, 1)).resize((10_000, 5_001))
    with pytest.raises(CapsnetError, match="has 10000 × 5001 pixels; at most 50,000,000 are read") as caught:
        image_bytes(huge)
    assert caught.value.kind == "too-large"
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG")
    with pytest.raises(CapsnetError, match="cannot be decoded") as caught:
        image_bytes(Image.open(io.BytesIO(file.getvalue()[:-500])))
    assert caught.value.kind == "not-an-image"


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "the path of an image is empty"), ("https://example.org/7.png", "a URL is not read; download")],
)
def test_a_text_that_is_no_path_is_refused(path: str, words: str) -> None:
    with pytest.raises(CapsnetError, match=words) as caught:
        image_bytes(path)
    assert caught.value.kind == "unreadable-file"


@pytest.mark.parametrize(
    "images", ["seven.png", b"bytes", np.zeros((28, 28)), Image.new("L", (5, 5)), io.BytesIO(), 3]
)
def test_a_single_image_is_not_several(images: Any) -> None:
    with pytest.raises(TypeError, match="images should be a list of images, not"):
        iterate(images)


def test_several_images_may_be_one_array() -> None:
    assert [np.asarray(image).shape for image in iterate(np.zeros((2, 5, 6)))] == [(5, 6)] * 2
