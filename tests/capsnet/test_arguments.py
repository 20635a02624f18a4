"""Arguments that clients and models share: the wrong ones are named before anything is sent or computed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from capsnet import Client
from capsnet.arguments import dimensions, direction_amounts, direction_names, movements, pose_rows, whole


def test_arguments_of_numpy_are_taken() -> None:
    assert whole("steps", np.int64(3)) == 3
    assert dimensions(np.array([0, 3])) == [0, 3]
    moves: Any = {np.int32(3): np.float32(0.5)}
    assert movements(moves, None, None) == {3: 0.5}
    assert pose_rows(np.ones((2, 3), np.float32)) == [[1.0] * 3] * 2


def test_arguments_that_are_left_out_have_no_value() -> None:
    assert dimensions(None) is None
    assert direction_names(None) is None
    assert movements(None, None, None) == {}
    assert direction_amounts(None) == {}


WRONG: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (whole, ("steps", 2.5), "steps should be a whole number, not 2.5"),
    (whole, ("top_k", "3"), "top_k should be a whole number, not '3'"),
    (dimensions, ("0,3",), r"dims should be a list like \[0, 3\], not '0,3'"),
    (dimensions, (3,), "dims should be a list"),
    (dimensions, ([1.5],), "dims should be a list"),
    (direction_names, ("slant",), r"directions should be a list like \['slant', 'width'\], not 'slant'"),
    (direction_names, ([3],), "directions should be a list"),
    (movements, ([(3, 0.1)], None, None), r"moves should be like .* not \[\(3, 0.1\)\]"),
    (movements, ({"3": 0.1}, None, None), "moves should be like"),
    (movements, ({3: "a"}, None, None), "moves should be like"),
    (movements, (None, 3.0, 0.1), "moves should be like"),
    (direction_amounts, ("slant",), r"directions should be like \{'slant': 12\}, not 'slant'"),
    (direction_amounts, ({"slant": "3"},), "directions should be like"),
    (pose_rows, (None,), "poses should be a list of poses, not None"),
    (pose_rows, ("abc",), "poses should be a list of poses"),
    (pose_rows, ([0.5] * 16,), r"each pose .* not 0.5; pass one pose as \[pose\]"),
    (pose_rows, ([["a"]],), "a pose should hold numbers"),
]


@pytest.mark.parametrize(("check", "arguments", "words"), WRONG)
def test_an_argument_of_a_wrong_type_is_named_with_an_example(
    check: Callable[..., Any], arguments: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        check(*arguments)


def test_a_client_names_wrong_arguments_without_a_server() -> None:
    with Client("http://127.0.0.1:1") as client:
        with pytest.raises(TypeError, match="moves should be like"):
            client.reconstruct(b"any", moves=[(3, 0.1)])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="dims should be a list"):
            client.sweep(b"any", dims="0,3")  # type: ignore[arg-type]
    timeouts: tuple[Any, ...] = (0, -1.0, float("nan"), None, "5")
    for timeout in timeouts:
        with pytest.raises(ValueError, match=r"timeout is .*; it should be a number of seconds above 0"):
            Client(timeout=timeout)
    with pytest.raises(ValueError, match="retries is -1; it should be at least 0"):
        Client(retries=-1)
