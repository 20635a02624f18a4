"""Anything that holds an image becomes the bytes of an image file; what holds none is named with what to do."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from capsnet import CapsnetError
from capsnet.image_encoding import encode, iterate, read


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_bytes_and_arrays_of_any_kind_are_read() -> None:
    file = bytes(encode(np.asarray(Tensor())))
    for image in (file, bytearray(file), memoryview(file), io.BytesIO(file), Tensor()):
        assert read(image) == file  # type: ignore[arg-type]


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
        (np.zeros(784, np.uint8), r"not uint8 of shape \(784,\)$"),
        (Image.new("L", (0, 5)), "the image of Pillow is empty: 0 × 5 pixels"),
        (Image.new("La", (5, 5)), "mode 'La' should be converted to RGB first"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(image: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        read(image)


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "the path of an image is empty"), ("https://example.org/7.png", "a URL is not read; download")],
)
def test_a_text_that_is_no_path_is_refused(path: str, words: str) -> None:
    with pytest.raises(CapsnetError, match=words) as caught:
        read(path)
    assert caught.value.kind == "unreadable-file"


@pytest.mark.parametrize(
    "images", ["seven.png", b"bytes", np.zeros((28, 28)), Image.new("L", (5, 5)), io.BytesIO(), 3]
)
def test_a_single_image_is_not_several(images: Any) -> None:
    with pytest.raises(TypeError, match="images should be a list of images, not"):
        iterate(images)


def test_several_images_may_be_one_array() -> None:
    assert [np.asarray(image).shape for image in iterate(np.zeros((2, 5, 6)))] == [(5, 6)] * 2
