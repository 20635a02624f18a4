"""The Open Inference Protocol by hand: bodies to the byte, errors in the protocol's form. Over real HTTP."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.kserve_tensors import header_length, max_json_bytes, parse
from app.api.schemas.kserve import InferAnswer
from app.errors import BadRequest
from app.inference.service import InferenceService
from app.inference.tensors import run_tensors
from app.settings import Settings
from tests.app.server_process import Server, serving

PIXELS = 784
INFER = "/v2/models/mnist/infer"
ZEROS = [0.0] * PIXELS


def image(shape: list[int] | None = None, **fields: Any) -> dict[str, Any]:
    """The input `image`, by default a blank one in JSON; a field that is None is left out."""
    tensor = {"name": "image", "datatype": "FP32", "shape": shape or [1, 1, 28, 28], "data": ZEROS} | fields
    return {name: value for name, value in tensor.items() if value is not None}


def announced(size: int, **fields: Any) -> dict[str, Any]:
    """The input `image` with its values behind the JSON."""
    return image(data=None, parameters={"binary_data_size": size}, **fields)


def ask(client: httpx.Client, *inputs: dict[str, Any], **fields: Any) -> httpx.Response:
    return client.post(INFER, json={"inputs": list(inputs), **fields})


def ask_binary(
    client: httpx.Client, tensor: dict[str, Any], values: bytes, length: object = None
) -> httpx.Response:
    header = json.dumps({"inputs": [tensor], "outputs": [{"name": "lengths"}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header) if length is None else length)}
    return client.post(INFER, content=header + values, headers=headers)


def test_of_two_objects_both_drawings_are_admitted_as_one(tiny_models: Path, tmp_path: Path) -> None:
    """As many images as may wait, each with two drawings."""
    with serving(tmp_path / "log", models=tiny_models, max_queue=5) as running:
        shape = running.client.get("/v2/models/pair").json()["inputs"][0]["shape"][1:]
        for count, status in ((5, 200), (6, 413)):
            values = np.full((count, *shape), 0.5, "<f4")
            tensor = announced(values.nbytes, shape=list(values.shape))
            header = json.dumps({"inputs": [tensor], "outputs": [{"name": "reconstruction"}]}).encode()
            headers = {"Inference-Header-Content-Length": str(len(header))}
            response = running.client.post(
                "/v2/models/pair/infer", content=header + values.tobytes(), headers=headers
            )
            assert response.status_code == status, response.text
            assert status == 200 or "the request holds 6 items" in response.json()["error"]


@pytest.mark.parametrize("digits", [10, 4299, 4300])
def test_a_dimension_beyond_all_bounds_is_refused(client: httpx.Client, digits: int) -> None:
    """Its product with the others may be longer than Python writes."""
    body = json.dumps({"inputs": [image()]}).replace("[1, 1, 28, 28]", f"[{'9' * digits}, 1, 28, 28]")
    answer = client.post(INFER, content=body, headers={"Content-Type": "application/json"})
    assert_error(answer, 400, "shape", "2147483647")
    assert len(answer.text) < 1000


def assert_error(response: httpx.Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert set(response.json()) == {"error"}
    for word in words:
        assert word in response.json()["error"]


def test_json_in_and_out(client: httpx.Client) -> None:
    response = ask(client, image(), id="a1", outputs=[{"name": "lengths"}], parameters={"mood": {"x": 1}})
    assert response.status_code == 200
    answer = response.json()
    InferAnswer.model_validate(answer, strict=True)
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "mnist", "model_version": "1.0.0", "id": "a1"}
    assert (output["name"], output["datatype"], output["shape"]) == ("lengths", "FP32", [1, 10])
    assert np.shape(output["data"]) == (10,)


def test_what_kserves_own_client_sends_is_a_request(client: httpx.Client) -> None:
    """Its `InferRequest.to_rest` adds the name of the model, in JSON and before binary values."""
    asked = {"id": "a", "model_name": "mnist", "outputs": [{"name": "lengths", "datatype": "FP32"}]}
    assert ask(client, image() | {"content": None}, **asked).json()["id"] == "a"
    header = json.dumps({"inputs": [announced(4 * PIXELS)], **asked}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    assert client.post(INFER, content=header + bytes(4 * PIXELS), headers=headers).status_code == 200


def test_flat_and_nested_values_are_the_same_image(client: httpx.Client) -> None:
    values = np.random.default_rng(0).random((2, 1, 28, 28)).round(3)
    flat = ask(client, image([2, 1, 28, 28], data=values.ravel().tolist()))
    nested = ask(client, image([2, 1, 28, 28], data=values.tolist()))
    assert flat.status_code == 200
    assert flat.json() == nested.json()


def test_what_is_not_asked_for_is_not_computed(tiny_models: Path) -> None:
    """A model without its decoder still gives lengths and poses."""

    async def scenario() -> None:
        service = InferenceService.load(Settings(models=tiny_models))
        blind = dataclasses.replace(service.models.get(None), decoder=None)  # type: ignore[arg-type]
        images = np.zeros((3, 1, 28, 28), np.float32)
        found = await run_tensors(service, blind, images, ["poses", "lengths"])
        assert {name: array.shape for name, array in found.items()} == {
            "poses": (3, 10, 16),
            "lengths": (3, 10),
        }
        with pytest.raises(AttributeError):
            await run_tensors(service, blind, images, ["reconstruction"])
        await service.close()

    asyncio.run(scenario())


def test_null_stands_for_what_is_left_out(client: httpx.Client) -> None:
    tensor = image() | {"parameters": None}
    response = ask(client, tensor, id=None, outputs=None, parameters=None)
    assert [each["name"] for each in response.json()["outputs"]] == ["lengths", "poses", "reconstruction"]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (image(name="imgae"), ["no input 'imgae'", "(did you mean 'image'?)"]),
        (image(datatype="FP64"), ["datatype 'FP64'", "'FP32'"]),
        (image([1, 784]), ["shape [1, 784]", "[-1, 1, 28, 28]"]),
        (image([0, 1, 28, 28], data=[]), ["shape [0, 1, 28, 28]", "one or more"]),
        (image([2, 1, 28, 28]), ["784 values", "needs 1568"]),
        (image([-1, 1, 28, 28]), ["inputs[0].shape[0]", "-1", "greater than or equal to 0"]),
        (image(data=None), ["neither 'data' nor", "'binary_data_size'"]),
        (image(parameters={"binary_data_size": 3136}), ["both 'data' and"]),
        (announced(3136), ["0 bytes follow the JSON; 3136 are announced"]),
        (image(data=["0"] * PIXELS), ["holds str", "only numbers"]),
        (image(data=[True] * PIXELS), ["holds bool"]),
        (image(data=[None] * PIXELS), ["holds NoneType"]),
        (image(data=[1.1] * PIXELS), ["outside 0 to 1"]),
        (image(data=[-1e300] * PIXELS), ["outside 0 to 1"]),
        (image(data=[10**400] * PIXELS), ["no float can hold"]),
        (image(data=[[ZEROS[:28]] * 28]), ["a list of 28 in its dimension 1", "lists of 1"]),
        (image(data=[[[*[ZEROS[:28]] * 27, ZEROS[:27]]]]), ["a list of 27 in its dimension 3"]),
        (image(data=[[[*[ZEROS[:28]] * 27, 0.5]]]), ["a float in its dimension 3"]),
        (image(dat=[]), ["'dat'", "(did you mean 'data'?)"]),
        (image(parameters={"shared_memory_region": "x"}), ["'shared_memory_region' is not offered"]),
        ({"name": "image"}, ["'inputs[0].shape' is missing", "'inputs[0].datatype' is missing"]),
    ],
)
def test_wrong_inputs_are_named(client: httpx.Client, tensor: dict[str, Any], words: list[str]) -> None:
    assert_error(ask(client, tensor), 400, *words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inputs": []}, ["'inputs'", "at least 1 item"]),
        ({"inputs": [image(), image()]}, ["'image' is given 2 times"]),
        ({"outputs": [{"name": "pose"}]}, ["no output 'pose'", "(did you mean 'poses'?)", "reconstruction"]),
        ({"outputs": [{"name": "poses"}] * 2}, ["'poses' is asked for twice"]),
        (
            {"outputs": [{"name": "lengths", "parameters": {"classification": 3}}]},
            ["'classification' is not"],
        ),
        (
            {"outputs": [{"name": "lengths", "parameters": {"binary_data": "yes"}}]},
            ["binary_data", "true or false"],
        ),
        ({"id": 7}, ["'id' is 7", "string"]),
        ({"output": []}, ["'output'", "(did you mean 'outputs'?)"]),
    ],
)
def test_wrong_requests_are_named(client: httpx.Client, fields: dict[str, Any], words: list[str]) -> None:
    assert_error(client.post(INFER, json={"inputs": [image()], **fields}), 400, *words)


def test_binary_values_are_counted_to_the_byte(client: httpx.Client) -> None:
    size = 4 * PIXELS
    assert ask_binary(client, announced(size), bytes(size)).status_code == 200
    assert_error(ask_binary(client, announced(size), bytes(size + 1)), 400, "3137 bytes follow", "3136 are")
    assert_error(ask_binary(client, announced(size), bytes(size - 1)), 400, "3135 bytes follow", "3136 are")
    assert_error(ask_binary(client, announced(size + 4), bytes(size + 4)), 400, "3140 bytes", "needs 3136")
    assert_error(ask_binary(client, image(), bytes(size)), 400, "3136 bytes follow", "0 are announced")


@pytest.mark.parametrize("length", ["-1", "x", "", "10000", "9" * 30, "1.5", "²"])
def test_a_wrong_length_of_the_json_is_refused(client: httpx.Client, length: str) -> None:
    body = json.dumps({"inputs": [image()]}).encode()
    headers = {b"Inference-Header-Content-Length": length.encode("latin-1")}
    response = client.post(INFER, content=body, headers=headers)
    assert_error(response, 400, "Inference-Header-Content-Length is", f"{len(body)} bytes")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff" * 10, b"[" * 50_000, b'{"inputs": NaN}'])
def test_what_is_no_request_is_400(client: httpx.Client, body: bytes) -> None:
    assert_error(client.post(INFER, content=body), 400)


def test_bytes_without_their_header_are_refused_with_its_name(client: httpx.Client) -> None:
    body = json.dumps({"inputs": [announced(4 * PIXELS)]}).encode() + bytes(4 * PIXELS)
    assert_error(
        client.post(INFER, content=body), 400, "not JSON", "the header Inference-Header-Content-Length"
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/nothing", 404, ["'/v2/nothing'"]),
        ("GET", INFER, 405, ["it takes POST"]),
        ("GET", "/v2/models/minst", 404, ["'minst'", "(did you mean 'mnist'?)"]),
        ("GET", "/v2/models/minst/ready", 404, ["'minst'"]),
        ("GET", "/v2/models/mnist/versions/7", 404, ["no version '7'", "1.0.0"]),
        ("POST", "/v2/models/mnist/versions/7/infer", 404, ["no version '7'"]),
        ("POST", "/v2/models/" + "m" * 5000 + "/infer", 404, ["..."]),
    ],
)
def test_errors_of_the_path_are_the_protocols_own(
    client: httpx.Client, method: str, path: str, status: int, words: list[str]
) -> None:
    assert_error(client.request(method, path), status, *words)


def test_compressed_bodies_are_refused(client: httpx.Client) -> None:
    response = client.post(INFER, content=b"x", headers={"Content-Encoding": "gzip"})
    assert_error(response, 415, "'gzip'")


@pytest.fixture(scope="module")
def small_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose queue holds four items, and which reads 20,000 bytes."""
    log = tmp_path_factory.mktemp("small-v2") / "log"
    with serving(log, models=tiny_models, max_queue=4, max_upload=20_000) as running:
        yield running


def test_more_images_than_the_queue_holds_are_refused_whole(small_server: Server) -> None:
    for count, status in ((4, 200), (5, 413)):
        size = 4 * PIXELS * count
        response = ask_binary(small_server.client, announced(size, shape=[count, 1, 28, 28]), bytes(size))
        assert response.status_code == status
    assert_error(response, 413, "5 items", "4")


def test_bodies_are_bounded(small_server: Server, client: httpx.Client) -> None:
    assert_error(ask_binary(small_server.client, announced(30_000), bytes(30_000)), 413, "20000 are read")
    most = max_json_bytes((1, 28, 28))
    advice = "values as bytes, with the header Inference-Header-Content-Length"
    assert_error(client.post(INFER, content=b" " * (most + 1)), 413, f"at most {most}", advice)
    headers = {"Inference-Header-Content-Length": str(most + 1)}
    assert_error(client.post(INFER, content=b" " * (most + 1), headers=headers), 413, f"at most {most}")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {"name": st.just("image"), "datatype": st.just("FP32"), "shape": st.just([1, 1, 2, 2]) | JSON_VALUES},
    optional={"data": JSON_VALUES, "parameters": st.just({"binary_data_size": 16}) | JSON_VALUES},
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=2) | JSON_VALUES},
    optional={"outputs": JSON_VALUES, "id": JSON_VALUES, "parameters": JSON_VALUES},
)


@settings(max_examples=50, deadline=None)
@given(REQUESTS | JSON_VALUES, st.sampled_from([b"", bytes(16), bytes(15)]))
def test_any_json_is_a_request_or_a_bad_one(value: Any, behind: bytes) -> None:
    header = json.dumps(value).encode()
    with contextlib.suppress(BadRequest):
        assert parse(header + behind, len(header), (1, 2, 2)).images.shape == (1, 1, 2, 2)


@settings(deadline=None)
@given(st.text(max_size=6) | st.integers(-5, 50).map(str), st.integers(0, 40))
def test_the_length_of_the_json_is_within_the_body_or_refused(given_length: str, size: int) -> None:
    try:
        length = header_length(given_length, bytes(size))
    except BadRequest:
        assert given_length not in {str(number) for number in range(size + 1)}
    else:
        assert 0 <= length <= size
        assert int(given_length) == length


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_flat_nested_and_bytes_say_the_same(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((count, 2, 3, 4), np.float32)
    tensor = {"name": "image", "datatype": "FP32", "shape": list(values.shape)}
    for data in (values.tolist(), values.ravel().tolist()):
        header = json.dumps({"inputs": [{**tensor, "data": data}]}).encode()
        assert np.array_equal(parse(header, len(header), (2, 3, 4)).images, values)
    header = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}]}).encode()
    assert np.array_equal(parse(header + values.tobytes(), len(header), (2, 3, 4)).images, values)
