"""Checkpoints: saved tensors come back, and nothing that is not a checkpoint is loaded, least of all unpickled."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from capsnet.config import ModelConfig
from model.architectures.registry import ARCHITECTURES, build
from model.checkpoint import CheckpointError, load_network, read_tensors, save_network, write_tensors


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_network_comes_back_as_it_was(architecture: str, tmp_path: Path) -> None:
    config = ModelConfig(
        architecture=architecture,
        num_classes=4,
        pose_dim=6,
        routing_iterations=2,
        class_bias=True,
        decoder_hidden=(8,),
    )
    network = build(config).eval()
    path = tmp_path / "deep" / "network.safetensors"
    save_network(path, network, {"classes": ["a", "b", "c", "d"], "result": {"error": 0.25}})
    loaded, header = load_network(path)
    assert loaded.config == config
    assert header["classes"] == ["a", "b", "c", "d"]
    assert header["result"] == {"error": 0.25}
    images = torch.rand(2, *config.image_shape)
    with torch.inference_mode():
        for expected, found in zip(network(images), loaded(images), strict=True):
            assert torch.equal(expected, found)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


class Trap:
    """Unpickling this calls `fail`."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return fail, ()


def fail() -> None:
    raise AssertionError("something was unpickled")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    for content in (pickle.dumps(Trap()), b"PK\x03\x04" + pickle.dumps(Trap())):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"network\.safetensors: not a readable checkpoint"):
            load_network(path)


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "network.safetensors"
    save_network(path, build(ModelConfig(architecture="shared", decoder_hidden=(8,))), {})
    return path


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"network\.safetensors"):
        load_network(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such checkpoint"):
        load_network(tmp_path / "none.safetensors")


def test_safetensors_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this project"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "header"),
        ({"config": {"architecture": "shared"}}, "decoder_hidden"),
        ({"config": {"architecture": "nets", "decoder_hidden": [8]}}, "'nets'; known are"),
        ({"config": {"architecture": "shared", "decoder_hidden": [8], "colour": 1}}, "colour"),
        ({"config": {"architecture": "shared", "decoder_hidden": [9]}}, "size mismatch|state_dict"),
        ({"config": {"architecture": "shared", "decoder_hidden": [8], "pose_dim": -1}}, "pose_dim is -1"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = saved(tmp_path)
    header = {key: value for key, value in change.items() if value is not None}
    write_tensors(path, load_file(path), header)
    with pytest.raises(CheckpointError, match=message):
        load_network(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(path, {}, {"unserialisable": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_header_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"t": torch.arange(3)}, {"position": {"epoch": 3}})
    size = int.from_bytes(path.read_bytes()[:8], "little")
    metadata = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    assert json.loads(metadata["position"]) == {"epoch": 3}
    tensors, header = read_tensors(path)
    assert tensors["t"].tolist() == [0, 1, 2]
    assert header == {"position": {"epoch": 3}}
