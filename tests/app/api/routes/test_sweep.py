"""POST /sweep over real HTTP, against what /reconstruct draws of the same pose."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.schemas.requests import SweepParameters
from app.api.schemas.responses import SweepAnswer
from capsnet.poses import linspace_exact
from tests.app.server_process import assert_problem, pixels_of, serving

FIELDS = {
    "model",
    "version",
    "capsule",
    "pose",
    "dims",
    "deltas",
    "directions",
    "frames",
    "input",
    "reconstruction",
}


def sweep(client: httpx.Client, image: bytes, query: str = "", accept: str = "*/*") -> httpx.Response:
    return client.post(f"/sweep{query}", files={"file": image}, headers={"Accept": accept})


def test_frames_are_what_reconstruct_draws_of_each_movement(client: httpx.Client, seven: bytes) -> None:
    response = sweep(client, seven, "?dims=3,0&min=-0.5&max=1&steps=4")
    assert response.status_code == 200
    assert response.headers["vary"] == "Accept"
    answer = response.json()
    assert set(answer) == FIELDS
    SweepAnswer.model_validate(answer, strict=True)
    assert (answer["dims"], answer["deltas"]) == ([3, 0], [-0.5, 0, 0.5, 1])
    for row, dim in enumerate(answer["dims"]):
        for column, delta in enumerate(answer["deltas"]):
            drawn = client.post(f"/reconstruct?dim={dim}&delta={delta}", files={"file": seven}).json()
            assert answer["frames"][row][column] == drawn["perturbed"]
    for field in ("model", "version", "capsule", "pose", "input", "reconstruction"):
        assert answer[field] == drawn[field]
    assert answer["frames"][0][1] == answer["frames"][1][1] == answer["reconstruction"]


def test_by_default_all_dimensions_move_as_in_the_paper(client: httpx.Client, seven: bytes) -> None:
    answer = sweep(client, seven).json()
    assert answer["dims"] == list(range(16))
    assert answer["deltas"] == [-0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25]
    assert {len(row) for row in answer["frames"]} == {11}
    assert len(answer["frames"]) == 16


@pytest.mark.parametrize(("query", "shape"), [("", (16, 11)), ("?dims=15&steps=51&min=-2&max=2", (1, 51))])
def test_the_sheet_has_a_row_for_each_dimension_and_a_column_for_each_step(
    client: httpx.Client, seven: bytes, query: str, shape: tuple[int, int]
) -> None:
    response = sweep(client, seven, query, "image/png")
    assert response.headers["content-type"] == "image/png"
    frames = sweep(client, seven, query).json()["frames"]
    assert (len(frames), len(frames[0])) == shape
    rows = [np.hstack([pixels_of(frame) for frame in row]) for row in frames]
    assert np.array_equal(pixels_of(response.content), np.vstack(rows))


def test_another_class_of_another_model_can_be_moved(client: httpx.Client, seven: bytes) -> None:
    answer = sweep(client, seven, "?model=pair&label=dog&steps=2").json()
    assert (answer["model"], answer["capsule"]["index"], answer["capsule"]["label"]) == ("pair", 2, "dog")
    assert answer["dims"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dims=16", ["'dims' is 16", "from 0 to 15"]),
        ("model=pair&dims=4", ["'dims' is 4", "from 0 to 3"]),
        ("dims=0,3,0", ["'dims' is '0,3,0'", "once", "0 is given 2 times"]),
        ("dims=", ["'dims' is ''", "commas"]),
        ("dims=0,,3", ["'0,,3'", "commas"]),
        ("dims=-1", ["'-1'", "from 0"]),
        ("dims=1.5", ["'1.5'"]),
        ("dims=²", ["'²'"]),
        ("dims=9999999", ["'9999999'"]),
        ("dims=0&dims=3", ["'dims'", "once"]),
        ("dim=3", ["'dim'", "(did you mean 'dims'?)"]),
        ("steps=1", ["'steps' is '1'", "should be from 2 to 51"]),
        ("steps=52", ["'steps' is '52'", "should be from 2 to 51"]),
        ("min=-2.1", ["'min' is '-2.1'"]),
        ("max=2.1", ["'max' is '2.1'"]),
        ("min=nan", ["'min'", "finite"]),
        ("min=0.25", ["'min' is 0.25", "less than 'max', which is 0.25"]),
        ("max=-1", ["'min' is -0.25", "less than 'max', which is -1"]),
        ("label=ten", ["'label'", "'ten'"]),
    ],
)
def test_wrong_parameters_are_named(client: httpx.Client, seven: bytes, query: str, words: list[str]) -> None:
    assert_problem(sweep(client, seven, f"?{query}"), 422, *words)


def test_what_is_no_image_is_400(client: httpx.Client) -> None:
    assert_problem(sweep(client, b"no image"), 400)


def test_a_sheet_that_the_queue_cannot_hold_is_refused_whole(
    tiny_models: Path, tmp_path: Path, seven: bytes
) -> None:
    with serving(tmp_path / "log", models=tiny_models, max_queue=45) as running:
        assert sweep(running.client, seven, "?dims=0,1,2,3&steps=11").status_code == 200
        assert_problem(sweep(running.client, seven, "?dims=0,1,2,3&steps=12"), 413, "49 items", "45")


@settings(deadline=None)
@given(
    st.text("0123456789,- ", max_size=12) | st.lists(st.integers(0, 20)).map(lambda d: ",".join(map(str, d)))
)
def test_any_text_is_a_list_of_dimensions_or_refused(text: str) -> None:
    try:
        rows = SweepParameters(dims=text).rows
    except ValidationError:
        parts = text.split(",")
        numbers = [int(part) for part in parts if part.isdecimal() and len(part) <= 6]
        assert len(numbers) < len(parts) or len(set(numbers)) < len(numbers)
    else:
        assert rows == [int(part) for part in text.split(",")]


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(0.001, 2), st.integers(2, 51))
def test_deltas_are_even_and_exact_at_their_ends(lowest: float, width: float, steps: int) -> None:
    deltas = linspace_exact(lowest, lowest + width, steps)
    assert np.allclose(deltas, np.linspace(lowest, lowest + width, steps), atol=1e-6)
    assert (deltas[0], deltas[-1]) == (np.float32(lowest), np.float32(lowest + width))
    assert linspace_exact(-width, width, 2 * steps - 1)[steps - 1] == 0
