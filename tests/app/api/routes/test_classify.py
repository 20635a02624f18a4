"""POST /classify over real HTTP."""

from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.schemas.responses import ClassifyAnswer
from capsnet import guard
from capsnet.card import ModelCard
from tests.app.both_ways import both_ways
from tests.app.server_process import Server, assert_problem, png
from training.data.datasets import DatasetPart

server = both_ways()

FIELDS = {"model", "version", "predictions", "lengths", "poses", "reconstruction"}


def test_answers_with_the_documented_fields(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/classify", files={"file": seven})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == FIELDS
    ClassifyAnswer.model_validate(answer, strict=True)
    assert (answer["model"], answer["version"]) == ("mnist", "1.0.0")
    assert np.shape(answer["lengths"]) == (10,)
    assert np.shape(answer["poses"]) == (10, 16)
    (best,) = answer["predictions"]
    assert best["index"] == int(np.argmax(answer["lengths"]))
    assert best["length"] == max(answer["lengths"])
    check = answer["reconstruction"]
    assert check["accepted"] is (check["distance"] <= check["threshold"])


@pytest.mark.parametrize("top_k", [1, 3])
def test_gives_input_and_drawings_in_the_same_answer(client: httpx.Client, seven: bytes, top_k: int) -> None:
    query = {"reconstruct": "true", "top_k": str(top_k)}
    answer = client.post("/classify", params=query, files={"file": seven}).json()
    assert set(answer) == FIELDS | {"input", "drawings"}
    ClassifyAnswer.model_validate(answer, strict=True)
    assert len(answer["drawings"]) == top_k
    for found, drawing in zip(answer["predictions"], answer["drawings"], strict=True):
        drawn = client.post("/reconstruct", params={"label": found["label"]}, files={"file": seven}).json()
        assert (answer["input"], drawing) == (drawn["input"], drawn["reconstruction"])


def test_the_threshold_is_that_of_the_image(
    client: httpx.Client, digits: DatasetPart, tiny_models: Path
) -> None:
    thresholds = ModelCard.load(tiny_models / "mnist").variants["fp32"].guard
    for pixels in (digits.images[0], digits.images[0] // 2):
        answer = client.post("/classify", files={"file": png(pixels[0])}).json()
        image, lengths = pixels[None].astype(np.float32) / 255, np.array([answer["lengths"]], np.float32)
        expected = guard.thresholds(thresholds, image, lengths)[0]
        assert answer["reconstruction"]["threshold"] == pytest.approx(expected, rel=1e-5)


def test_gives_what_the_graph_gives(client: httpx.Client, digits: DatasetPart, tiny_models) -> None:  # type: ignore[no-untyped-def]
    session = onnxruntime.InferenceSession(tiny_models / "mnist" / "encoder.onnx")
    for pixels in digits.images[:10]:
        answer = client.post("/classify", files={"file": png(pixels[0])}).json()
        lengths, poses = session.run(None, {"image": pixels[None].astype(np.float32) / 255})
        assert np.array_equal(np.float32(answer["lengths"]), np.float32(lengths[0]))
        assert np.array_equal(np.float32(answer["poses"]), np.float32(poses[0]))


@pytest.mark.parametrize(
    ("content_type", "same"),
    [
        ("image/png", True),
        ("image/jpeg", True),
        ("application/octet-stream", True),
        ("IMAGE/PNG; x=1", True),
    ],
)
def test_takes_the_raw_body_and_lets_the_bytes_decide(
    client: httpx.Client, seven: bytes, content_type: str, same: bool
) -> None:
    raw = client.post("/classify", content=seven, headers={"Content-Type": content_type})
    form = client.post("/classify", files={"file": ("any.name", seven, "text/plain")})
    assert (raw.json() == form.json()) is same


def test_a_body_sent_in_chunks_without_a_length_is_read(client: httpx.Client, seven: bytes) -> None:
    pieces = (seven[start : start + 50] for start in range(0, len(seven), 50))
    response = client.post("/classify", content=pieces, headers={"Content-Type": "image/png"})
    assert response.status_code == 200


def test_top_k_gives_the_longest_capsules_longest_first(client: httpx.Client, seven: bytes) -> None:
    answer = client.post("/classify?top_k=10", files={"file": seven}).json()
    lengths = [prediction["length"] for prediction in answer["predictions"]]
    assert lengths == sorted(answer["lengths"], reverse=True)
    assert sorted(prediction["index"] for prediction in answer["predictions"]) == list(range(10))


def test_a_model_that_looks_for_two_objects_gives_two(client: httpx.Client, seven: bytes) -> None:
    answer = client.post("/classify?model=pair", files={"file": seven}).json()
    assert answer["model"] == "pair"
    assert len(answer["predictions"]) == 2
    assert {prediction["label"] for prediction in answer["predictions"]} < {"cat", "2", "dog"}


def test_verify_false_leaves_the_reconstruction_out(client: httpx.Client, seven: bytes) -> None:
    answer = client.post("/classify?verify=false", files={"file": seven}).json()
    assert set(answer) == FIELDS - {"reconstruction"}


def test_preprocess_none_only_resizes(client: httpx.Client, digits: DatasetPart) -> None:
    inverted = png(255 - digits.images[0, 0])
    found = client.post("/classify", files={"file": inverted}).json()
    as_it_is = client.post("/classify?preprocess=none", files={"file": inverted}).json()
    light_on_dark = client.post("/classify", files={"file": png(digits.images[0, 0])}).json()
    assert found["lengths"] == light_on_dark["lengths"]
    assert as_it_is["lengths"] != light_on_dark["lengths"]


def test_many_at_once_each_get_their_own(server: Server, digits: DatasetPart) -> None:
    """Under load, when images travel in batches, every answer belongs to its image."""
    from concurrent.futures import ThreadPoolExecutor

    images = [png(pixels[0]) for pixels in digits.images[:60]]
    alone = [server.client.post("/classify", files={"file": image}).json() for image in images]
    with ThreadPoolExecutor(16) as pool:
        together = list(
            pool.map(lambda image: server.client.post("/classify", files={"file": image}).json(), images)
        )
    for one, other in zip(alone, together, strict=True):
        assert one["predictions"][0]["index"] == other["predictions"][0]["index"]
        assert np.allclose(one["poses"], other["poses"], atol=1e-5)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("top_k=0", ["'top_k'", "'0'", "should be from 1 to the number of classes"]),
        ("top_k=11", ["'top_k'", "11", "from 1 to 10"]),
        ("top_k=many", ["'top_k'", "'many'", "valid integer"]),
        ("top_k=1e99", ["'top_k'"]),
        ("top_k=" + "9" * 5000, ["'top_k'"]),
        ("verify=perhaps", ["'verify'", "'perhaps'"]),
        ("preprocess=magic", ["'preprocess'", "'magic'", "'none'"]),
        ("tok_k=3", ["'tok_k'", "did you mean 'top_k'?"]),
        ("top_k=1&top_k=2", ["'top_k'", "'1', '2'", "once"]),
        ("=3", ["''"]),
    ],
)
def test_wrong_parameters_are_named(client: httpx.Client, seven: bytes, query: str, words: list[str]) -> None:
    problem = assert_problem(client.post(f"/classify?{query}", files={"file": seven}), 422, *words)
    assert set(problem["errors"][0]) == {"parameter", "value", "allowed"}


def test_several_wrong_parameters_are_all_named(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/classify?top_k=0&verify=perhaps", files={"file": seven})
    problem = assert_problem(response, 422, "'top_k'", "'verify'")
    assert len(problem["errors"]) == 2


def test_an_unknown_model_is_404_and_the_known_are_named(client: httpx.Client, seven: bytes) -> None:
    response = client.post("/classify?model=mnits", files={"file": seven})
    assert_problem(response, 404, "'mnits'", "did you mean 'mnist'?", "mnist, pair")


def test_bytes_that_are_no_image_are_400(client: httpx.Client) -> None:
    assert_problem(client.post("/classify", files={"file": b"%PDF-1.7 no image"}), 400)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 10_000), flipped=st.integers(0, 10_000), value=st.integers(1, 255))
def test_damaged_images_are_answered_and_never_a_500(
    client: httpx.Client, seven: bytes, cut: int, flipped: int, value: int
) -> None:
    damaged = bytearray(seven[: max(1, cut % len(seven))])
    damaged[flipped % len(damaged)] ^= value
    response = client.post("/classify", content=bytes(damaged), headers={"Content-Type": "image/png"})
    if response.status_code != 200:
        assert_problem(response, 400 if response.status_code != 413 else 413)
