"""Attacks keep within their bounds, do what they are for, and are judged by the guard."""

import numpy as np
import pytest
import torch

from capsnet.config import ModelConfig
from capsnet.guard import anomaly_scores, distance
from model.architectures.registry import build
from model.export.exporter import fit_guard
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DatasetPart
from training.evaluation.adversarial import ATTACKS, EPSILONS, excess, outcomes, perturb
from training.evaluation.evaluate import TorchModel
from training.trainer.losses import class_loss, one_hot_targets, reconstruction_loss


@pytest.fixture(scope="module", params=["efficient", "cnn-small"])
def network(request: pytest.FixtureRequest, digits: DatasetPart) -> CapsuleNetwork:
    """A network that knows forty digits by heart."""
    torch.manual_seed(0)
    net = build(ModelConfig(architecture=request.param, decoder_hidden=(32,)))
    images = torch.from_numpy(digits.images[:40]).float() / 255
    labels = torch.from_numpy(digits.labels[:40])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(40):
        lengths, poses, drawn = net(images, labels)
        loss = class_loss(net, lengths, poses, one_hot_targets(labels, 10)) + 0.001 * reconstruction_loss(
            drawn, images
        )
        optimizer.zero_grad()
        loss.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_no_pixel_moves_further_than_epsilon_or_leaves_the_range(
    network: CapsuleNetwork, digits: DatasetPart, name: str, epsilon: float
) -> None:
    images = torch.from_numpy(digits.images[:8]).float() / 255
    labels = torch.from_numpy(digits.labels[:8])
    thresholds = fit_guard(TorchModel(network), digits.images[:40].astype(np.float32) / 255)
    generator = torch.Generator().manual_seed(0)
    changed = perturb(network, images, labels, ATTACKS[name], epsilon, generator, thresholds)
    assert float((changed - images).abs().max()) <= epsilon + 1e-6
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert float((changed - images).abs().max()) > epsilon / 2


@pytest.mark.slow
def test_attacks_lower_the_accuracy(network: CapsuleNetwork, digits: DatasetPart) -> None:
    data = DatasetPart(digits.images[:40], digits.labels[:40])
    thresholds = fit_guard(TorchModel(network), data.images.astype(np.float32) / 255)
    found = {(each.attack, each.epsilon): each for each in outcomes(network, data, thresholds)}
    assert len(found) == 1 + len(ATTACKS) * len(EPSILONS)
    assert found["none", 0.0].success == 0
    assert found["none", 0.0].accuracy > 0.8
    for name in ATTACKS:
        assert found[name, 0.3].accuracy < found["none", 0.0].accuracy
    assert found["PGD", 0.3].accuracy <= found["FGSM", 0.1].accuracy


def test_an_attack_that_knows_the_guard_stays_nearer_to_its_drawing(
    network: CapsuleNetwork, digits: DatasetPart
) -> None:
    images = torch.from_numpy(digits.images[:40]).float() / 255
    labels = torch.from_numpy(digits.labels[:40])
    model, apart = TorchModel(network), {}
    thresholds = fit_guard(model, images.numpy())
    for name in ("PGD", "aware PGD"):
        changed = perturb(
            network, images, labels, ATTACKS[name], 0.3, torch.Generator().manual_seed(0), thresholds
        ).numpy()
        lengths, poses = model.encode(changed)
        apart[name] = distance(changed, model.decode(poses, lengths.argmax(axis=1))).mean()
    assert apart["aware PGD"] < apart["PGD"]


def test_the_score_that_an_adaptive_attack_lowers_is_the_guards_own(
    network: CapsuleNetwork, digits: DatasetPart
) -> None:
    images = torch.from_numpy(digits.images[:60]).float() / 255
    model = TorchModel(network)
    thresholds = fit_guard(model, images.numpy())
    noisy = (images + 0.1 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    lengths, _, drawn = network(noisy)
    found = excess(thresholds, noisy, drawn, lengths)
    distances = distance(noisy.numpy(), drawn.numpy())
    scores = anomaly_scores(thresholds, distances, noisy.numpy(), lengths.numpy())
    expected = scores / np.array(thresholds.p95)[lengths.argmax(dim=1).numpy()] - 1
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_an_adaptive_attack_is_accepted_more_often_than_one_that_knows_of_reconstructions_alone(
    network: CapsuleNetwork, digits: DatasetPart
) -> None:
    data = DatasetPart(digits.images[:40], digits.labels[:40])
    thresholds = fit_guard(TorchModel(network), data.images.astype(np.float32) / 255)
    names = ("aware PGD", "adaptive PGD")
    found = {
        each.attack: each for each in outcomes(network, data, thresholds, names=names) if each.epsilon != 0.1
    }
    assert found.keys() == {"none", *names}
    assert found["adaptive PGD"].undetected >= found["aware PGD"].undetected
