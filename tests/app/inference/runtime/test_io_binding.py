"""Fixed batch sizes and buffers: the code that a GPU runs, here on a CPU with real graphs."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.runtime.device import tensorrt_options
from app.inference.runtime.io_binding import BoundGraph, batch_sizes
from capsnet.card import IMAGE, LABEL, POSES
from tests.app.tiny_model import write_tiny_model

SIZES = [1, 2, 4, 6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bound") / "mnist"
    write_tiny_model(folder)
    return folder


def load(graph: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@given(st.integers(1, 5000))
def test_sizes_ascend_to_the_most_and_never_more_than_double(most: int) -> None:
    sizes = batch_sizes(most)
    assert sizes[0] == 1
    assert sizes[-1] == most
    assert all(small < large <= 2 * small for small, large in itertools.pairwise(sizes))


@pytest.mark.parametrize("count", range(1, 7))
def test_a_padded_batch_gives_what_the_session_gives(folder: Path, count: int) -> None:
    random = np.random.default_rng(count)
    images = random.random((count, 1, 28, 28), np.float32)
    encoder, decoder = load(folder / "encoder.onnx"), load(folder / "decoder.onnx")
    bound = BoundGraph(encoder, "cpu", SIZES, slots=1)
    bound.run({IMAGE: np.ones((6, 1, 28, 28), np.float32)})  # what it leaves in the buffers must not show
    lengths, poses = bound.run({IMAGE: images})
    expected = encoder.run(None, {IMAGE: images})
    assert (lengths.shape, poses.shape) == ((count, 10), (count, 10, 16))
    assert np.allclose(lengths, expected[0], atol=1e-6)
    assert np.allclose(poses, expected[1], atol=1e-5)

    feeds = {POSES: poses, LABEL: random.integers(0, 10, count)}
    (drawn,) = BoundGraph(decoder, "cpu", SIZES, slots=1).run(feeds)
    assert np.allclose(drawn, decoder.run(None, feeds)[0], atol=1e-6)


def test_results_outlive_the_next_run(folder: Path) -> None:
    bound = BoundGraph(load(folder / "encoder.onnx"), "cpu", SIZES, slots=1)
    first = bound.run({IMAGE: np.ones((2, 1, 28, 28), np.float32)})
    kept = [array.copy() for array in first]
    bound.run({IMAGE: np.zeros((2, 1, 28, 28), np.float32)})
    assert all(map(np.array_equal, first, kept))


def test_slots_have_buffers_of_their_own(folder: Path) -> None:
    encoder = load(folder / "encoder.onnx")
    bound = BoundGraph(encoder, "cpu", SIZES, slots=4)
    together = threading.Barrier(4)

    def run(seed: int) -> bool:
        images = np.random.default_rng(seed).random((3, 1, 28, 28), np.float32)
        expected = encoder.run(None, {IMAGE: images})
        together.wait(30)
        return all(
            np.allclose(got, want, atol=1e-5)
            for _ in range(50)
            for got, want in zip(bound.run({IMAGE: images}), expected, strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(4)))


def test_a_batch_beyond_the_largest_is_refused(folder: Path) -> None:
    bound = BoundGraph(load(folder / "encoder.onnx"), "cpu", SIZES, slots=1)
    with pytest.raises(ValueError, match="a batch of 7; the largest is 6"):
        bound.run({IMAGE: np.zeros((7, 1, 28, 28), np.float32)})


def test_tensorrt_is_told_its_cache_and_all_shapes(folder: Path, tmp_path: Path) -> None:
    options = tensorrt_options(folder / "decoder.onnx", tmp_path, 64)
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert options["trt_profile_min_shapes"] == "poses:1x10x16,label:1"
    assert options["trt_profile_max_shapes"] == "poses:64x10x16,label:64"
    assert options["trt_fp16_enable"] == "0"
