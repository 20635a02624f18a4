"""An exported model is a network again: the very weights, the answers of its graphs, gradients."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from capsnet.card import CARD_FILE, CardError, ModelCard, sha256
from capsnet.config import ModelConfig
from capsnet.onnx_model import open_variants
from model.architectures.registry import build
from model.export.exporter import export
from model.export.to_pytorch import restore
from tests.model.descriptions import DESCRIPTION, Exported

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(path.parent.name for path in (ROOT / "artifacts").glob(f"*/{CARD_FILE}"))


@pytest.fixture(
    scope="module",
    params=[
        "efficient",
        "residual",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("capsnet", "cnn-residual", "cnn-small")),
    ],
)
def trained(
    request: pytest.FixtureRequest, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """A network no two of whose weights are alike, as after training, and the folder of its export."""
    torch.manual_seed(0)
    network = build(ModelConfig(architecture=request.param))
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)
        network.train().encode(torch.from_numpy(images))
    folder = tmp_path_factory.mktemp("restored") / "test"
    export(network.eval(), DESCRIPTION, folder, images[:7], images)
    return network, folder


def test_every_weight_comes_back(trained: Exported) -> None:
    net, folder = trained
    restored, card = restore(folder)
    assert card.config == restored.config == net.config
    assert not restored.training
    found = restored.state_dict()
    for name, weight in net.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(found[name], weight), name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_answers_in_pytorch_as_it_does_in_the_service(name: str, images: np.ndarray) -> None:
    network, card = restore(ROOT / "artifacts" / name)
    margin = (card.input.height - images.shape[2]) // 2
    framed = np.pad(images[:5], ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    batch = torch.from_numpy(framed).requires_grad_()
    lengths, poses, drawn = network(batch)
    model = open_variants(ROOT / "artifacts" / name)[1]["fp32"]
    in_service = model.encode(framed)
    redrawn = model.decode(in_service[1], in_service[0].argmax(axis=1))
    for got, want in zip((lengths, poses, drawn), (*in_service, redrawn), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want, atol=1e-4, rtol=0)
    lengths.square().sum().backward()  # the sum alone of probabilities is always 1
    assert batch.grad is not None
    assert bool(batch.grad.abs().amax(dim=(1, 2, 3)).gt(0).all())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "artifacts" / "mnist", tmp_path / "copied"))


def describe_again(folder: Path) -> None:
    """Have the card name the encoder that lies beside it now, as a card from a stranger might."""
    card = ModelCard.load(folder)
    fp32 = card.variants["fp32"]
    graph = dataclasses.replace(fp32.encoder, sha256=sha256(folder / fp32.encoder.file))
    variants = {**card.variants, "fp32": dataclasses.replace(fp32, encoder=graph)}
    (folder / CARD_FILE).write_text(dataclasses.replace(card, variants=variants).to_json())


def test_a_weight_that_became_part_of_another_is_not_made_up(
    exported_as: Callable[[str], Exported],
) -> None:
    with pytest.raises(CardError, match=r"no weight digits.weight .*: the export has folded it into others"):
        restore(exported_as("shared")[1])


def test_a_graph_with_other_names_is_refused(copied: Path) -> None:
    encoder = copied / "encoder.onnx"
    graph = onnx.load(encoder)
    for tensor in graph.graph.initializer:
        tensor.name = tensor.name.replace("trunk.0.0.weight", "prior")
    for node in graph.graph.node:
        node.input[:] = [name.replace("trunk.0.0.weight", "prior") for name in node.input]
    onnx.save(graph, encoder)
    describe_again(copied)
    with pytest.raises(
        CardError, match=r"copied: its graphs have no weight trunk\.0\.0\.weight of the shape \(32, 1, 5, 5\)"
    ):
        restore(copied)


def test_what_is_no_graph_is_refused(copied: Path) -> None:
    (copied / "encoder.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(CardError, match="not the file its card speaks of"):
        restore(copied)
    describe_again(copied)
    with pytest.raises(CardError, match=r"encoder.onnx: is not an ONNX graph"):
        restore(copied)
