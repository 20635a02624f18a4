"""Several networks and mirrored images as one network, exported, restored and in fewer bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from capsnet.card import ModelCard
from capsnet.config import ConfigError, ModelConfig
from capsnet.onnx_model import open_variants
from model.architectures.registry import build
from model.export.ensemble import Ensemble
from model.export.exporter import export
from model.export.to_pytorch import restore
from model.export.variants import add_variants
from model.nn.layers import CapsuleNetwork
from tests.model.descriptions import DESCRIPTION


def network(seed: int, images: np.ndarray, **values: object) -> CapsuleNetwork:
    torch.manual_seed(seed)
    made = build(ModelConfig(**{"architecture": "residual", "decoder_hidden": (16,), **values}))  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)  # no two alike, as after training
        made.train().encode(torch.from_numpy(images))
    return made.eval()


@pytest.fixture(scope="module")
def pair(images: np.ndarray) -> list[CapsuleNetwork]:
    return [network(seed, images) for seed in (0, 1)]


@pytest.fixture(scope="module")
def folder(pair: list[CapsuleNetwork], images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "test"
    export(Ensemble(pair, mirrored=True).eval(), DESCRIPTION, path, images[:7], images)
    return path


@torch.inference_mode()
def test_lengths_are_the_mean_and_poses_those_of_the_first(
    pair: list[CapsuleNetwork], images: np.ndarray
) -> None:
    batch = torch.from_numpy(images[:5])
    lengths, poses, drawn = Ensemble(pair, mirrored=True)(batch)
    views = [member.encode(view)[0] for member in pair for view in (batch, batch.flip(3))]
    torch.testing.assert_close(lengths, torch.stack(views).mean(dim=0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(poses, pair[0].encode(batch)[1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(drawn, pair[0].decode(poses, lengths.argmax(dim=1)))


@torch.inference_mode()
def test_a_mirrored_image_has_the_lengths_of_the_image(
    pair: list[CapsuleNetwork], images: np.ndarray
) -> None:
    alone = Ensemble(pair[:1], mirrored=True)
    batch = torch.from_numpy(images[:5])
    torch.testing.assert_close(alone.encode(batch)[0], alone.encode(batch.flip(3))[0])


def test_the_first_network_comes_out_as_it_was(pair: list[CapsuleNetwork]) -> None:
    first = Ensemble(pair, mirrored=True).first().state_dict()
    assert first.keys() == pair[0].state_dict().keys()
    for name, weight in pair[0].state_dict().items():
        torch.testing.assert_close(first[name], weight, atol=0, rtol=0)


def test_only_networks_of_one_kind_with_capsules_answer_together(
    pair: list[CapsuleNetwork], images: np.ndarray
) -> None:
    with pytest.raises(ConfigError, match="of networks of one kind"):
        Ensemble([pair[0], network(0, images, pose_dim=8)])
    with pytest.raises(ConfigError, match="cnn-small is none"):
        Ensemble([network(0, images, architecture="cnn-small")])


def test_one_graph_is_exported_and_the_card_says_that_lengths_are_means(
    folder: Path, pair: list[CapsuleNetwork], images: np.ndarray
) -> None:
    card = ModelCard.load(folder)
    assert (card.members, card.mirrored) == (2, True)
    assert card.parameters["encoder"] == 2 * pair[0].parameter_counts()["encoder"]
    assert card.parameters["decoder"] == pair[0].parameter_counts()["decoder"]
    model = open_variants(folder)[1]["fp32"]
    for batch in (1, 3):
        lengths, poses = model.encode(images[:batch])
        assert (lengths.shape, poses.shape) == ((batch, 10), (batch, 10, 16))
    assert float(np.abs(lengths - np.linalg.norm(poses, axis=2)).max()) > 1e-3


@torch.inference_mode()
def test_it_is_an_ensemble_again(folder: Path, images: np.ndarray) -> None:
    restored, _ = restore(folder)
    assert isinstance(restored, Ensemble)
    model = open_variants(folder)[1]["fp32"]
    lengths, poses = restored.encode(torch.from_numpy(images[:5]))
    for got, want in zip((lengths, poses), model.encode(images[:5]), strict=True):
        np.testing.assert_allclose(got.numpy(), want, atol=1e-4, rtol=0)


def test_its_variants_are_close(folder: Path, images: np.ndarray) -> None:
    add_variants(folder, ("int8", "fp16"), images, images, np.full(len(images), 10))
    models = open_variants(folder)[1]
    exact, _ = models["fp32"].encode(images)
    for precision, tolerance in {"int8": 0.05, "fp16": 0.002}.items():
        lengths, _ = models[precision].encode(images)
        assert float(np.abs(lengths - exact).max()) < tolerance
