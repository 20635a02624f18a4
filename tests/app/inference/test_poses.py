"""The small pure parts: ranking, perturbing, PNG files, `Accept`, the cores of a control group."""

import io
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from app.api.responses import prefers_png
from app.errors import DeviceError
from app.inference.runtime.device import (
    CPU,
    CUDA,
    Device,
    choose_device,
    count_gpus,
)
from app.inference.runtime.engine import RUN, Engine
from app.settings import Settings
from capsnet import poses
from capsnet.png import encode_png, sheet
from tests.app.tiny_model import write_tiny_model

lengths = arrays.arrays(np.float32, st.integers(1, 20), elements=st.floats(0, 1, width=32))


@given(lengths, st.integers(1, 20))
def test_rank_gives_the_longest_first_and_of_equals_the_lower_index(values: np.ndarray, count: int) -> None:
    ranking = poses.rank(values, count)
    assert ranking == sorted(range(len(values)), key=lambda index: (-values[index], index))[:count]


@given(
    arrays.arrays(np.float32, 16, elements=st.floats(-1, 1, width=32)),
    st.dictionaries(st.integers(0, 15), st.floats(-2, 2)),
)
def test_perturb_moves_what_it_is_told_and_leaves_its_argument(
    pose: np.ndarray, changes: dict[int, float]
) -> None:
    before = pose.copy()
    moved = poses.perturb(pose, changes.items())
    assert np.array_equal(pose, before)
    for dim in range(16):
        assert moved[dim] == pose[dim] + np.float32(changes.get(dim, 0))


@settings(deadline=None)
@given(
    arrays.arrays(np.float32, 5, elements=st.floats(-1, 1, width=32)),
    st.lists(st.integers(0, 4), unique=True),
    arrays.arrays(np.float32, 3, elements=st.floats(-2, 2, width=32)),
)
def test_sweep_is_perturb_of_each_dimension_by_each_delta(
    pose: np.ndarray, dims: list[int], deltas: np.ndarray
) -> None:
    moved = poses.sweep(pose, dims, deltas)
    expected = [poses.perturb(pose, [(dim, delta)]) for dim in dims for delta in deltas]
    assert moved.shape == (len(expected), 5)
    assert np.array_equal(moved, np.reshape(expected, (-1, 5)))


def test_place_puts_each_pose_into_its_row() -> None:
    placed = poses.scatter_poses(np.array([[1, 2], [3, 4]], np.float32), [1, 0], 3)
    assert placed.tolist() == [[[0, 0], [1, 2], [0, 0]], [[3, 4], [0, 0], [0, 0]]]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB")])
def test_a_sheet_has_its_images_row_by_row(channels: int, mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, channels, 4, 5), np.uint8)
    with Image.open(io.BytesIO(sheet(list(levels / np.float32(255)), columns=3))) as image:
        assert (image.mode, image.size) == (mode, (15, 8))
        pixels = np.asarray(image).reshape(8, 15, channels)
    for index, level in enumerate(levels):
        row, column = divmod(index, 3)
        found = pixels[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
        assert np.array_equal(found, level.transpose(1, 2, 0))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB")])
def test_png_keeps_every_level_and_its_place(channels: int, mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), np.uint8)
    with Image.open(io.BytesIO(encode_png(levels / np.float32(255)))) as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image).reshape(5, 7, channels), levels.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (["image/png"], True),
        (["image/*"], True),
        (["IMAGE/PNG"], True),
        (["image/png;q=0.2"], True),
        (["application/json;q=0.9, image/png"], True),
        (["application/json", "image/png;q=0.5"], False),  # two header lines
        (["image/avif,image/webp,image/*,*/*;q=0.8"], True),  # as browsers ask for an <img>
        (["text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"], False),
        (["*/*"], False),
        ([], False),
        ([""], False),
        (["image/png;q=0"], False),
        (["image/png;q=0, */*"], False),
        (["application/*, image/png"], True),
        (["application/json, image/png"], False),
        (["image/png;q=much"], False),
        (["image/png;q=nan"], False),
    ],
)
def test_png_is_sent_to_who_prefers_it(accept: list[str], wanted: bool) -> None:
    headers = [(b"accept", value.encode()) for value in accept]
    assert prefers_png(Request({"type": "http", "headers": headers})) is wanted


@pytest.mark.skipif(
    count_gpus() > 0 or CUDA not in onnxruntime.get_available_providers(),
    reason="wants an ONNX Runtime that lists CUDA on a machine without a GPU",
)
def test_a_session_that_onnx_runtime_moved_to_the_cpu_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mnist")
    with pytest.raises(
        DeviceError, match="was to run on CUDAExecutionProvider, but ONNX Runtime put it on CPU"
    ):
        Device(CUDA, 1).session(tmp_path / "mnist" / "encoder.onnx")


def test_the_engine_gives_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "mnist")
    device = choose_device(Settings(device="cpu"), tmp_path / "mnist" / "decoder.onnx")
    assert (device.provider, device.is_gpu) == (CPU, False)
    engine = Engine(device, tmp_path / "mnist" / "encoder.onnx", tmp_path / "mnist" / "decoder.onnx")
    assert engine.provider == CPU
    count = 2 * RUN + 1
    images = np.random.default_rng(0).random((count, 1, 28, 28), np.float32)
    lengths, poses = engine.encode(images)
    labels = np.arange(count) % 10
    drawn = engine.decode(poses, labels)
    assert lengths.shape == (count, 10)
    for index in range(count):
        one_length, one_pose = engine.encode(images[index : index + 1])
        assert np.allclose(one_length[0], lengths[index], atol=1e-5)
        assert np.allclose(one_pose[0], poses[index], atol=1e-5)
        assert np.allclose(engine.decode(one_pose, labels[index : index + 1])[0], drawn[index], atol=1e-5)
