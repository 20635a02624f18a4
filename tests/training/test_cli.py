"""The commands as a user types them: a folder of pictures becomes a trained, exported and measured model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoint import read_tensors
from model.contract import ModelCard
from model.onnx_model import OnnxModel
from model.preprocess import decode
from training.datasets import Split
from training.runs import LAST, STATE

ROOT = Path(__file__).resolve().parents[2]


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "training", *map(str, words)]


def run(*words: str | Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = (
        {k: v for k, v in os.environ.items() if k != "CAPSNET_DATA"} | {"COLUMNS": "200"} | environment
    )
    result = subprocess.run(command(*words), cwd=ROOT, env=variables, capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result


@pytest.fixture(scope="module")
def pictures(digits: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of somebody's own: PNG files in folders called after the digits."""
    folder = tmp_path_factory.mktemp("pictures")
    names = {0: "zero", 1: "one", 7: "seven"}
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        if int(label) in names:
            (folder / names[int(label)]).mkdir(exist_ok=True)
            Image.fromarray(image[0]).save(folder / names[int(label)] / f"{number:03}.png")
    return folder


def fit_words(pictures: Path, output: Path, *more: str) -> list[str | Path]:
    return [
        "fit", "--dataset", f"folder:{pictures}", "--preprocess", "mnist", "--architecture", "efficient",
        "--epochs", "8", "--batch-size", "16", "--learning-rate", "3e-3", "--warmup", "5", "--ema", "0.9",
        "--augmentation", "shift", "--accelerator", "cpu", "--output", output, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(*fit_words(pictures, folder))
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "mine"
    run("export", trained / "best.safetensors", "--output", folder, "--version", "3")
    return folder


def test_a_run_leaves_its_files(trained: Path) -> None:
    found = {path.name for path in trained.iterdir()}
    assert found == {"best.safetensors", "last.safetensors", "state.safetensors", "log.csv", "tensorboard"}
    assert list((trained / "tensorboard").glob("events*"))


def test_a_folder_of_pictures_becomes_a_model_that_knows_them(pictures: Path, exported: Path) -> None:
    card = ModelCard.load(exported)
    assert (card.name, card.version, card.classes) == ("mine", "3", ("one", "seven", "zero"))
    assert card.input.preprocess == "mnist"
    model = OnnxModel(exported)
    right = 0
    for path in (paths := sorted(pictures.rglob("*.png"))):
        lengths, _ = model.encode(decode(path.read_bytes(), card.input)[np.newaxis])
        right += card.classes[int(lengths.argmax())] == path.parent.name
    assert right / len(paths) > 0.9


def test_the_card_says_how_to_make_the_model_again_without_our_paths(pictures: Path, exported: Path) -> None:
    card = ModelCard.load(exported)
    assert f"--dataset folder:{pictures.name} --architecture efficient --epochs 8" in card.training["command"]
    assert "--seed 0" in card.training["command"]
    assert str(pictures.parent) not in (exported / "card.json").read_text()


def test_evaluate_prints_a_table_and_json_and_stamps_the_card(
    pictures: Path, trained: Path, exported: Path
) -> None:
    dataset = ("--dataset", f"folder:{pictures}")
    table = run("evaluate", exported, trained / "best.safetensors", *dataset).stdout
    assert re.search(r"mine +.*fp32", table)
    assert "checkpoint" in table
    lines = run("evaluate", exported, trained / "best.safetensors", *dataset, "--json", "--write-card").stdout
    of_model, of_checkpoint = map(json.loads, lines.splitlines())
    assert of_model["errors"] == of_checkpoint["errors"]
    assert of_model["error"] == of_model["errors"] / of_model["images"] < 0.1
    assert of_model["margin_loss"] == pytest.approx(of_checkpoint["margin_loss"], abs=1e-4)
    assert 0.8 < of_model["accepted"] <= 1
    metrics = ModelCard.load(exported).variants["fp32"].metrics
    assert metrics is not None
    assert metrics.errors == of_model["errors"]


def test_a_run_killed_without_warning_goes_on(pictures: Path, trained: Path, tmp_path: Path) -> None:
    """Kill -9 as soon as there is something to go on from; the end must be that of the run that nobody killed."""
    words = fit_words(pictures, tmp_path)
    with subprocess.Popen(command(*words), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / STATE).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / STATE).exists()
    refused = run(*words, status=1).stderr
    assert "holds a run already; give --resume" in refused
    run(*words, "--resume")
    unbroken, resumed = (read_tensors(folder / LAST)[0] for folder in (trained, tmp_path))
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--dataset", "mnits", "--output", "x"], "no data set 'mnits'"),
        (["fit", "--dataset", "folder:none", "--output", "x"], "none: no such folder"),
        (
            ["fit", "--dataset", "mnist", "--data", "none", "--output", "x"],
            "python -m training download mnist",
        ),
        (["fit", "--dataset", "mnist", "--image-size", "32", "--output", "x"], "input of its own"),
        (
            ["fit", "--dataset", "mnist", "--architecture", "nets", "--output", "x"],
            "known are capsnet, efficient",
        ),
        (["fit", "--dataset", "mnist", "--augmentation", "wild", "--output", "x"], "augmentation is 'wild'"),
        (["export", "none.safetensors", "--output", "x"], "none.safetensors: no such checkpoint"),
        (["evaluate", "none.safetensors"], "none.safetensors: no such checkpoint"),
        (["evaluate", "docs"], "card.json"),
        (["download", "mnits"], "mnits"),
    ],
)
def test_a_mistake_is_one_clear_line(words: list[str], message: str) -> None:
    result = run(*words, status=1)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (ROOT / "x").exists()


def test_a_model_is_not_measured_on_other_classes(exported: Path, sample_folder: Path) -> None:
    result = run("evaluate", exported, "--dataset", "mnist", "--data", sample_folder, status=1)
    assert "one, seven, zero" in result.stderr
