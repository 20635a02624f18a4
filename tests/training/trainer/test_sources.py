"""What an export is made of: checkpoints that hold out the same images, and mirrored images where they are known."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from model.architectures.registry import build
from model.checkpoint import save_network
from model.export.ensemble import Ensemble
from tests.training.trainer.test_trainer import run_config
from training.data.datasets import DatasetPart
from training.trainer.device_data import train_val_split
from training.trainer.provenance import provenance
from training.trainer.run_config import RunConfig
from training.trainer.run_state import EpochResult, RunIdentity, TrainingError
from training.trainer.sources import SourceError, read_source
from training.trainer.trainer import validate

RESULT = EpochResult(3, 0.1, 0.1, 30.0, 0.05, 0.04, 1e-4, 60.0)


@pytest.fixture
def here(digits: DatasetPart, monkeypatch: pytest.MonkeyPatch) -> DatasetPart:
    """The sample of the digits in the place of the training set."""
    monkeypatch.setattr("training.trainer.run_state.load", lambda *_, **__: digits)
    return digits


def checkpoint(path: Path, made_by: RunConfig, data: DatasetPart) -> Path:
    torch.manual_seed(made_by.seed)
    header = {
        **RunIdentity(made_by, data.fingerprint()).header(),
        "classes": list("0123456789"),
        "objects": 1,
        "result": asdict(RESULT),
        "provenance": provenance(made_by),
    }
    save_network(path, build(made_by.network), header)
    return path


def test_one_checkpoint_is_its_network(here: DatasetPart, tmp_path: Path) -> None:
    source = read_source([checkpoint(tmp_path / "a.safetensors", run_config(), here)], None, mirrored=False)
    _, held_out = train_val_split(here, source.config, torch.device("cpu"))
    assert not isinstance(source.network, Ensemble)
    assert source.made.fields().items() <= provenance(run_config()).items()
    assert source.validation_error(held_out) == RESULT.validation_error


def test_checkpoints_of_one_split_seed_answer_together(here: DatasetPart, tmp_path: Path) -> None:
    made = [run_config(seed=seed, split_seed=0, augmentation="clothes") for seed in (0, 1)]
    paths = [checkpoint(tmp_path / f"{each.seed}.safetensors", each, here) for each in made]
    source = read_source(paths, None, mirrored=True)
    assert isinstance(source.network, Ensemble)
    assert (len(source.network.members), source.network.mirrored) == (2, True)
    *fits, export = source.made.commands
    assert fits == [provenance(each)["command"] for each in made]
    assert export.endswith("/0.safetensors " + export.split()[-2] + " --mirrored")
    _, held_out = train_val_split(here, source.config, torch.device("cpu"))
    assert source.validation_error(held_out) == validate(source.network, held_out)[0]


def test_a_network_that_was_trained_on_the_validation_images_of_the_first_is_refused(
    here: DatasetPart, tmp_path: Path
) -> None:
    paths = [
        checkpoint(tmp_path / f"{seed}.safetensors", run_config(seed=seed, validation=20), here)
        for seed in (0, 1)
    ]
    with pytest.raises(TrainingError, match=r"1\.safetensors: had other validation images"):
        read_source(paths, None, mirrored=False)


def test_mirrored_images_are_for_networks_that_know_them(here: DatasetPart, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.safetensors", run_config(augmentation="digits"), here)
    with pytest.raises(SourceError, match=r"was not trained on mirrored images \(augmentation digits\)"):
        read_source([path], None, mirrored=True)
    knows = run_config(seed=1, split_seed=0, augmentation="clothes")
    first = checkpoint(tmp_path / "b.safetensors", knows, here)
    second = checkpoint(tmp_path / "c.safetensors", run_config(split_seed=0), here)
    with pytest.raises(SourceError, match=r"c\.safetensors: was not trained on mirrored images"):
        read_source([first, second], None, mirrored=True)
