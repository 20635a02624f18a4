"""Figures of a model that looks for two objects, against a count in plain Python; its export judges as they do."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from capsnet import guard
from capsnet.onnx_model import open_variants
from model.architectures.registry import build
from model.checkpoint import save_network
from model.export.exporter import export
from model.export.variants import add_variants
from model.nn.layers import CapsuleNetwork
from tests.model.descriptions import DESCRIPTION
from tests.training.data.test_composition import PAIRS, plan
from training.data.datasets import DatasetPart, describe, fixed_scenes
from training.evaluation.evaluate import MeasuredEpoch, TorchModel, evaluate_epochs, measure
from training.reporting.tables import epochs_table
from training.trainer.run_state import EpochResult, RunIdentity, epoch_file


@pytest.fixture(scope="module")
def network() -> CapsuleNetwork:
    torch.manual_seed(0)
    return build(plan().network).eval()


@pytest.fixture(scope="module")
def scenes(digits: DatasetPart) -> DatasetPart:
    return fixed_scenes(digits, PAIRS)


def test_of_two_digits_each_counts_and_both_together(network: CapsuleNetwork, scenes: DatasetPart) -> None:
    found = measure(TorchModel(network), scenes, "multimnist", None)
    lengths, _ = TorchModel(network).encode(scenes.images.astype(np.float32) / 255)
    sure = [set(np.argsort(row)[-2:].tolist()) for row in lengths]
    wrong = [len(set(pair) - two) for pair, two in zip(scenes.labels.tolist(), sure, strict=True)]
    assert (found.images, found.errors) == (300, sum(wrong))
    assert found.error == sum(wrong) / 600
    assert found.exact_match_error == sum(each > 0 for each in wrong) / 300


def test_a_model_of_two_objects_is_exported_with_a_guard_of_both(
    network: CapsuleNetwork, scenes: DatasetPart, tmp_path: Path
) -> None:
    images = scenes.images.astype(np.float32) / 255
    description = replace(DESCRIPTION, objects=2, input=describe("multimnist").input)
    card = export(network, description, tmp_path / "pairs", images[:7], images)
    assert card.objects == 2
    measured = measure(TorchModel(network), scenes, "multimnist", card.variants["fp32"].guard)
    assert measured.accepted == pytest.approx(0.95, abs=0.03)
    card = add_variants(tmp_path / "pairs", ("fp16",), images[:20], images, scenes.labels)
    validation = card.variants["fp32"].validation
    assert validation is not None
    assert (validation.errors, validation.error) == (measured.errors, measured.error)
    _, models = open_variants(tmp_path / "pairs")
    model = models["fp32"]
    lengths, poses = model.encode(images)
    sure = guard.top_classes(lengths, 2)
    one, other = (model.decode(poses, sure[:, rank]) for rank in (0, 1))
    distances = guard.distance(images, np.minimum(one + other, 1))
    shown = (sure == sure[0, 0]).any(axis=1)
    assert card.variants["fp32"].guard.distance[sure[0, 0]] == pytest.approx(
        np.median(distances[shown]), rel=1e-5
    )


def test_every_epoch_is_measured_and_the_one_the_test_set_would_choose_is_named(
    network: CapsuleNetwork,
    digits: DatasetPart,
    scenes: DatasetPart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for epoch, margin in ((1, 0.2), (2, 0.1)):
        header = {
            **RunIdentity(plan(), digits.fingerprint()).header(),
            "classes": describe("multimnist").classes,
            "objects": 2,
            "result": asdict(EpochResult(epoch, 1.0, 1.0, 1.0, 0.5, margin, 1e-3, 1.0)),
            "provenance": {"command": "none"},
        }
        save_network(tmp_path / epoch_file(epoch), network, header)
    monkeypatch.setattr("training.evaluation.evaluate.load", lambda *_, **__: scenes)
    first, second = evaluate_epochs(tmp_path, None, None)
    assert first.metrics == second.metrics == measure(TorchModel(network), scenes, "multimnist", None)
    better = MeasuredEpoch(first.result, replace(first.metrics, errors=0, error=0.0))
    table = epochs_table(tmp_path, [better, second])
    assert list(table.columns[-1].cells) == ["test set (best epoch on test)", "validation images"]
