"""The Open Inference Protocol as NVIDIA's own client speaks it, against the numbers of /classify."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.app.server_process import Server, pixels_of, png
from training.data.datasets import DatasetPart

COUNT = 16


@pytest.fixture
def program(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def images_of(digits: DatasetPart, count: int = COUNT) -> np.ndarray:
    """The first digits as the network takes them, (count,1,28,28)."""
    return digits.images[:count].astype(np.float32) / 255


def image_input(images: np.ndarray, binary: bool) -> Any:
    tensor = triton.InferInput("image", images.shape, "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return tensor


def output(name: str, binary: bool) -> Any:
    return triton.InferRequestedOutput(name, binary_data=binary)


def test_server_and_models_say_what_they_are(program: triton.InferenceServerClient) -> None:
    assert program.is_server_live()
    assert program.is_server_ready()
    assert program.is_model_ready("mnist")
    assert program.is_model_ready("pair", "1.0.0")
    assert not program.is_model_ready("mnist", "2")
    assert not program.is_model_ready("minst")
    assert "binary_tensor_data" in program.get_server_metadata()["extensions"]
    assert program.get_model_metadata("pair", "1.0.0") == program.get_model_metadata("pair")
    assert [entry["state"] for entry in program.get_model_repository_index()] == ["READY", "READY"]
    assert program.get_model_config("pair")["max_batch_size"] == 64
    assert program.get_inference_statistics("pair", "1.0.0")["model_stats"][0]["name"] == "pair"
    with pytest.raises(InferenceServerException, match="CAPSNET_ADMIN_KEYS"):
        program.load_model("pair")
    assert program.get_model_metadata("pair") == {
        "name": "pair",
        "versions": ["1.0.0"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
        "outputs": [
            {"name": "lengths", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "poses", "datatype": "FP32", "shape": [-1, 3, 4]},
            {"name": "reconstruction", "datatype": "FP32", "shape": [-1, 1, 28, 28]},
        ],
    }


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors_are_the_numbers_of_classify_and_reconstruct(
    program: triton.InferenceServerClient,
    client: httpx.Client,
    digits: DatasetPart,
    binary_in: bool,
    binary_out: bool,
) -> None:
    names = ["lengths", "poses", "reconstruction"]
    result = program.infer(
        "mnist",
        [image_input(images_of(digits), binary_in)],
        outputs=[output(name, binary_out) for name in names],
        request_id="sixteen digits",
    )
    assert result.get_response()["id"] == "sixteen digits"
    lengths, poses, drawn = (result.as_numpy(name) for name in names)
    assert (lengths.shape, poses.shape, drawn.shape) == ((16, 10), (16, 10, 16), (16, 1, 28, 28))
    for index in range(COUNT):
        image = png(digits.images[index, 0])
        seen = client.post("/classify", files={"file": image}).json()
        np.testing.assert_allclose(lengths[index], seen["lengths"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(poses[index], seen["poses"], rtol=1e-4, atol=1e-5)
        assert lengths[index].argmax() == seen["predictions"][0]["index"]
    again = client.post("/reconstruct", files={"file": image}).json()["reconstruction"]
    assert np.abs(drawn[-1, 0] * 255 - pixels_of(base64.b64decode(again))).max() <= 0.51


def test_without_a_choice_all_outputs_come_as_bytes(
    program: triton.InferenceServerClient, digits: DatasetPart
) -> None:
    result = program.infer("mnist", [image_input(images_of(digits, 3), True)], "1.0.0")
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"]) == ("mnist", "1.0.0")
    assert "id" not in answer
    sizes = {each["name"]: each["parameters"]["binary_data_size"] for each in answer["outputs"]}
    assert sizes == {"lengths": 4 * 3 * 10, "poses": 4 * 3 * 160, "reconstruction": 4 * 3 * 784}


def test_outputs_may_come_in_both_forms_and_any_order(
    program: triton.InferenceServerClient, digits: DatasetPart
) -> None:
    images = [image_input(images_of(digits, 2), True)]
    mixed = program.infer("mnist", images, outputs=[output("poses", True), output("lengths", False)])
    assert [each["name"] for each in mixed.get_response()["outputs"]] == ["poses", "lengths"]
    alike = program.infer("mnist", images)
    for name in ("poses", "lengths"):
        np.testing.assert_allclose(mixed.as_numpy(name), alike.as_numpy(name), rtol=1e-5)


def test_parameters_that_mean_nothing_here_are_passed_over(
    program: triton.InferenceServerClient, digits: DatasetPart
) -> None:
    result = program.infer(
        "mnist",
        [image_input(images_of(digits, 1), True)],
        priority=3,
        timeout=5000,
        parameters={"mood": "good"},
    )
    assert result.as_numpy("lengths").shape == (1, 10)


@pytest.mark.parametrize(
    ("model", "version", "images", "words"),
    [
        ("minst", "", np.zeros((1, 1, 28, 28), np.float32), "(did you mean 'mnist'?)"),
        ("mnist", "2", np.zeros((1, 1, 28, 28), np.float32), "no version '2'; there is: 1.0.0"),
        ("mnist", "", np.zeros((1, 28, 28), np.float32), r"should be \[-1, 1, 28, 28\]"),
        ("mnist", "", np.full((2, 1, 28, 28), np.nan, np.float32), "not finite"),
        ("mnist", "", np.full((2, 1, 28, 28), 255, np.float32), "outside 0 to 1"),
    ],
)
def test_the_client_reads_what_was_wrong(
    program: triton.InferenceServerClient, model: str, version: str, images: np.ndarray, words: str
) -> None:
    with pytest.raises(
        InferenceServerException, match=words.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")
    ):
        program.infer(model, [image_input(images, True)], version)
