"""`training.train` from Python, and the options of `fit`, which are the fields of `TrainConfig`."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from capsnet.config import ConfigError, ModelConfig
from model.checkpoint import load_network, read_tensors
from training import TrainConfig, train
from training.cli import app
from training.trainer.auto_config import choose
from training.trainer.config import AUTO, OPTIONS, default
from training.trainer.provenance import option as typed
from training.trainer.run_config import RunConfig
from training.trainer.run_state import LAST, TrainingError


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten bars and ten crosses, each with noise of its own."""
    folder, random = tmp_path_factory.mktemp("own") / "shapes", np.random.default_rng(0)
    for name, columns in {"bar": [], "cross": range(6, 22)}.items():
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 40, (28, 28)).astype(np.uint8)
            pixels[4:24, 12:16] = 255
            pixels[12:16, list(columns)] = 255
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def tiny(shapes: Path, output: Path, **more: object) -> TrainConfig:
    settings = {"architecture": "shared", "epochs": 2, "batch_size": 4, "seed": 3, "precision": "32-true"}
    return TrainConfig(dataset=f"folder:{shapes}", output=output, **settings | more)  # type: ignore[arg-type]


def test_python_and_the_command_make_the_same_weights(shapes: Path, tmp_path: Path) -> None:
    config = tiny(shapes, tmp_path / "python")
    result = train(config)
    assert (result.last.epoch, result.checkpoint.is_file()) == (2, True)
    words = ["fit", "--dataset", config.dataset, "--output", str(tmp_path / "command")]
    words += [
        "--architecture",
        "shared",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--seed",
        "3",
        "--precision",
        "32-true",
    ]
    assert app(words, standalone_mode=False) is None
    one, other = (read_tensors(tmp_path / name / LAST)[0] for name in ("python", "command"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_from_python_logs_what_the_folder_holds(
    shapes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "training"):
        train(tiny(shapes, tmp_path, epochs=1))
    assert "20 images" in caplog.text
    assert "epoch 1 of 1: loss" in caplog.text
    assert any(record.levelno == logging.WARNING for record in caplog.records)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(tiny(shapes, tmp_path, epochs=1))


def test_every_field_is_an_option_with_its_default() -> None:
    command: Any = typer.main.get_command(app)
    fit = command.commands["fit"]
    found = {each.name: each for each in fit.params if each.name != "help"}
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    assert found.keys() == fields.keys()
    for name, field in fields.items():
        option = found[name]
        assert option.opts == [f"--{name.replace('_', '-')}"]
        assert option.help == OPTIONS[name].help
        assert option.help.endswith(".")
        assert option.required == (field.default is dataclasses.MISSING)
        if not option.required:
            assert option.default == field.default, name


def test_a_run_has_no_other_defaults_than_its_settings() -> None:
    for field in dataclasses.fields(RunConfig):
        if field.name in OPTIONS.keys() - {"teacher"} and field.default is not dataclasses.MISSING:
            assert field.default == default(field.name), field.name
    for name in OPTIONS.keys() & ModelConfig.__dataclass_fields__.keys() - set(AUTO):
        assert typed(name, default(name)) == typed(name, ModelConfig.__dataclass_fields__[name].default)


def test_the_widths_of_the_decoder_are_kept_and_written_as_they_are_typed(
    shapes: Path, tmp_path: Path
) -> None:
    result = train(tiny(shapes, tmp_path, epochs=1, decoder_hidden="24,32"))
    network, header = load_network(result.checkpoint)
    assert network.config.decoder_hidden == (24, 32)
    assert "--decoder-hidden 24,32" in header["provenance"]["command"]
    with pytest.raises(ConfigError, match="decoder_hidden is 'wide'; it must be a list such as 512,1024"):
        train(tiny(shapes, tmp_path / "other", decoder_hidden="wide"))


def test_folders_choose_every_option_that_is_auto() -> None:
    from training.data.folder_survey import FolderFacts

    facts = FolderFacts(counts=(100, 100), edges=(20, 30, 60), coloured=0.0, drawn=1.0)
    assert {each.option for each in choose(facts)} == set(AUTO)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs is 0; it must lie between 1 and 10000"),
        ("until", 0, "until is 0; it must be at least 1"),
        ("ema", float("nan"), "ema is nan; it must lie between"),
        ("schedule", "linear", "schedule is 'linear'; it must be one of cosine, exponential"),
        ("preprocess", "wild", "preprocess is 'wild'; it must be one of mnist, fashion, resize"),
        ("teacher_weight", 0.5, "--teacher-weight: says how much to learn from a --teacher"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(dataset="mnist", output=Path("run"), **{field: value})  # type: ignore[arg-type]


def test_digits_that_a_data_set_shifts_are_not_shifted_twice(tmp_path: Path) -> None:
    settings = TrainConfig(dataset="multimnist", output=tmp_path, augmentation="published")
    with pytest.raises(ConfigError, match=r"augmentation is 'published', which shifts .* multimnist shifts"):
        train(settings)
