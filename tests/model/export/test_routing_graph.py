"""The routing of each iteration, exported without a second copy of the weights, is what PyTorch computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from capsnet.card import ModelCard
from capsnet.explanation.votes import RoutingGraph
from model.export.routing_graph import write_routing
from model.export.to_pytorch import restore
from model.export.tracing import ExportError
from model.nn.layers import GridCapsuleNetwork
from tests.model.descriptions import Exported

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["mnist-capsnet", "mnist-shared"])
def test_a_shipped_model_tells_its_routing_as_pytorch_computes_it(name: str, images: np.ndarray) -> None:
    folder = ROOT / "artifacts" / name
    network, card = restore(folder)
    assert isinstance(network, GridCapsuleNetwork)
    assert card.routing is not None
    assert card.routing.grid == network.grid
    batch = np.concatenate([np.zeros_like(images[:1]), images[:4]])  # a blank one among them
    with torch.inference_mode():
        expected = [each.numpy() for each in network.history(torch.from_numpy(batch))]
        lengths, _ = network.encode(torch.from_numpy(batch))
    found = RoutingGraph.open(card, folder).run(batch)
    for want, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)
    couplings, _, routed = found
    assert couplings.shape[1] == card.routing.iterations == card.config.routing_iterations
    np.testing.assert_allclose(couplings[:, 0], 0.1, atol=1e-6)  # the first iteration prefers no class
    np.testing.assert_allclose(couplings.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(routed[:, -1], lengths, atol=1e-4, rtol=0)


def test_the_addition_holds_no_weights(exported_as: Callable[[str], Exported]) -> None:
    network, folder = exported_as("shared")
    added = onnx.load(folder / "routing.onnx")
    assert (folder / "routing.onnx").stat().st_size < 20_000
    assert all(np.prod(tensor.dims) < 10 for tensor in added.graph.initializer)
    card = ModelCard.load(folder)
    card.check_files(folder)
    assert card.routing is not None
    assert card.routing.graph.file == "routing.onnx"
    assert isinstance(network, GridCapsuleNetwork)
    assert card.routing.grid.rows * card.routing.grid.columns == 49


def test_an_encoder_of_other_weights_is_refused(
    exported_as: Callable[[str], Exported], images: np.ndarray, tmp_path: Path
) -> None:
    network, _ = restore(ROOT / "artifacts" / "mnist-shared")
    assert isinstance(network, GridCapsuleNetwork)
    encoder = onnx.load(ROOT / "artifacts" / "mnist-shared" / "encoder.onnx")
    onnx.save(encoder, tmp_path / "encoder.onnx")
    with torch.no_grad():
        network.digits.weight.mul_(2)  # so that the addition needs a copy of it
    with pytest.raises(ExportError, match="the encoder is of another network"):
        write_routing(network, tmp_path, images)
    assert not (tmp_path / "routing.onnx").exists()
