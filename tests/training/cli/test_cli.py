"""The commands as a user types them: a folder of images becomes a trained, exported and measured model."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from capsnet import guard
from capsnet.card import CardError, ModelCard
from capsnet.onnx_model import open_variants
from capsnet.preprocessing.pipeline import decode
from model.checkpoint import load_network, read_tensors
from model.export.to_pytorch import restore
from training.cli import main
from training.cli.app import console
from training.cli.folder_run import most_confused
from training.data.datasets import DatasetError, DatasetPart, load
from training.evaluation.evaluate import evaluate_model, measure, open_candidate
from training.evaluation.validate import Copies, validate_models
from training.trainer.device_data import held_out
from training.trainer.distillation import Teacher
from training.trainer.pretrained import InitialWeights
from training.trainer.run_config import RunConfig
from training.trainer.run_state import BEST, LAST, LOG, STATE, TrainingError
from training.trainer.weight_interpolation import blend

ROOT = Path(__file__).resolve().parents[3]


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "training", *map(str, words)]


@dataclass(frozen=True)
class Said:
    """What a command has printed."""

    stdout: str
    stderr: str


def run(*words: str | Path, status: int = 0, **environment: str) -> Said:
    """Run a command in this process, which saves it the seconds that PyTorch takes to load."""
    kept = {k: v for k, v in os.environ.items() if k != "CAPSNET_DATA"} | {"COLUMNS": "200"} | environment
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(os, "environ", kept)
        patch.setattr(sys, "argv", ["training", *map(str, words)])
        patch.chdir(ROOT)
        console.width = int(kept["COLUMNS"])
        with redirect_stdout(out), redirect_stderr(error), pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == status, error.getvalue()
    return Said(out.getvalue(), error.getvalue())


def run_alone(*words: str | Path) -> None:
    """Run a command in a process of its own, for what starts more of them."""
    result = subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


NAMES = {0: "zero", 1: "one", 7: "seven"}


def write_images(folder: Path, digits: DatasetPart, rows: range) -> Path:
    """Three classes of a user's own: PNG files in folders called after the digits."""
    for row in rows:
        if (label := int(digits.labels[row])) in NAMES:
            (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits.images[row, 0]).save(folder / NAMES[label] / f"{row:03}.png")
    return folder


@pytest.fixture(scope="module")
def image_folder(digits: DatasetPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training images."""
    return write_images(tmp_path_factory.mktemp("own") / "images", digits, range(200))


@pytest.fixture(scope="module")
def others(digits: DatasetPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other images of the same classes."""
    return write_images(tmp_path_factory.mktemp("own") / "others", digits, range(200, 300))


def fit_words(image_folder: Path, output: Path, *more: str) -> list[str | Path]:
    return [
        "fit", "--dataset", f"folder:{image_folder}", "--preprocess", "mnist", "--architecture", "efficient",
        "--primary-capsules", "12", "--epochs", "8", "--batch-size", "16", "--learning-rate", "3e-3", "--warmup", "5",
        "--ema", "0.9", "--augmentation", "shift", "--accelerator", "cpu", "--output", output, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run(*fit_words(image_folder, folder))
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "mine"
    run("export", trained / "best.safetensors", "--output", folder, "--version", "3")
    return folder


def test_a_run_leaves_its_files(trained: Path) -> None:
    found = {path.name for path in trained.iterdir()}
    assert found - {"mistakes.png"} == {
        "best.safetensors",
        "confusion.png",
        "last.safetensors",
        "log.csv",
        "state.safetensors",
        "tensorboard",
    }
    assert list((trained / "tensorboard").glob("events*"))


def test_a_folder_of_images_becomes_a_model_that_knows_others(others: Path, exported: Path) -> None:
    card = ModelCard.load(exported)
    assert (card.name, card.version, card.classes) == ("mine", "3", ("one", "seven", "zero"))
    assert card.input.preprocess == "mnist"
    _, models = open_variants(exported)
    right = 0
    for path in (paths := sorted(others.rglob("*.png"))):
        lengths, _ = models["fp32"].encode(decode(path.read_bytes(), card.input)[np.newaxis])
        right += card.classes[int(lengths.argmax())] == path.parent.name
    assert right / len(paths) > 0.85


def test_validation_images_lie_beside_the_card(exported: Path) -> None:
    card = ModelCard.load(exported)
    assert set(card.samples) == {"one", "seven", "zero"}
    with Image.open(exported / "samples.png") as strip:
        assert strip.size == (28 * len(card.samples), 28)
    low, high = card.training["guard_refuses"]
    assert 0 < low < 0.05 < high < 0.4


def test_the_card_of_own_images_refuses_what_looks_otherwise(exported: Path) -> None:
    card, models = open_variants(exported)
    limits = card.variants["fp32"].guard
    assert limits.appearance is not None
    noise = np.random.default_rng(0).random((20, 1, 28, 28)).astype(np.float32)
    lengths, _ = models["fp32"].encode(noise)
    assert (guard.thresholds(limits, noise, lengths) < 0).all()


def test_the_command_on_the_card_makes_the_same_weights(
    image_folder: Path, trained: Path, exported: Path, tmp_path: Path
) -> None:
    card = (exported / "card.json").read_text()
    assert str(image_folder.parent) not in card
    made_by = str(json.loads(card)["training"]["command"])
    assert f"--dataset folder:{image_folder.name} " in made_by
    assert " --primary-capsules 12 " in f"{made_by} "
    assert ModelCard.load(exported).config.primary_capsules == 12
    words = made_by.replace(f"folder:{image_folder.name}", f"folder:{image_folder}").split()
    run(*words[3:], "--accelerator", "cpu", "--output", tmp_path)
    first, again = (read_tensors(folder / LAST)[0] for folder in (trained, tmp_path))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_evaluate_prints_a_table_and_json_and_stamps_the_card(
    others: Path, trained: Path, exported: Path
) -> None:
    dataset = ("--dataset", f"folder:{others}")
    table = run("evaluate", exported, trained / "best.safetensors", *dataset).stdout
    assert re.search(r"mine +.*fp32", table)
    assert "checkpoint" in table
    lines = run("evaluate", exported, trained / "best.safetensors", *dataset, "--json", "--write-card").stdout
    of_model, of_checkpoint = map(json.loads, lines.splitlines())
    assert of_model["errors"] == of_checkpoint["errors"]
    assert of_model["error"] == of_model["errors"] / of_model["images"] < 0.15
    assert of_model["margin_loss"] == pytest.approx(of_checkpoint["margin_loss"], abs=1e-4)
    assert 0.5 < of_model["accepted"] <= 1
    metrics = ModelCard.load(exported).variants["fp32"].metrics
    assert metrics is not None
    assert metrics.errors == of_model["errors"]
    assert metrics.dataset == "folder:others"


def test_a_model_is_not_measured_on_what_it_was_trained_on(
    image_folder: Path, exported: Path, digits: DatasetPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("evaluate", exported, "--dataset", f"folder:{image_folder}", "--write-card", status=1)
    assert "are the images that" in result.stderr
    write_images(tmp_path / image_folder.name, digits, range(210))  # some have come since
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="are the images that"):
        evaluate_model(exported, None, None)
    assert "name a folder of other images" in result.stderr


def test_a_changed_graph_is_not_measured(others: Path, exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(exported, copy)
    (copy / "decoder.onnx").write_bytes((copy / "decoder.onnx").read_bytes()[:-1])
    result = run("evaluate", copy, "--dataset", f"folder:{others}", status=1)
    assert "decoder.onnx: is not the file its card speaks of" in result.stderr


def test_a_checkpoint_is_not_exported_with_other_images(
    digits: DatasetPart, image_folder: Path, trained: Path, tmp_path: Path
) -> None:
    """The validation images, for parity and thresholds, would no longer be those that were held out."""
    extra = image_folder / "zero" / "extra.png"
    Image.fromarray(digits.images[3, 0]).save(extra)
    try:
        result = run("export", trained / "best.safetensors", "--output", tmp_path / "mine", status=1)
    finally:
        extra.unlink()
    assert "has changed since" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_further_stage_starts_from_the_weights_of_the_one_before(
    image_folder: Path, trained: Path, tmp_path: Path
) -> None:
    best = trained / "best.safetensors"
    words = fit_words(
        image_folder, tmp_path, "--epochs", "1", "--learning-rate", "1e-9", "--start-from", str(best)
    )
    run(*words)
    first, second = (read_tensors(path)[0] for path in (best, tmp_path / LAST))
    torch.testing.assert_close(first["digits.weight"], second["digits.weight"], atol=1e-5, rtol=0)
    _, header = read_tensors(tmp_path / LAST)
    assert header["provenance"]["command"].count("python -m training fit") == 2
    refused = run(
        *fit_words(image_folder, tmp_path / "x", "--seed", "5", "--start-from", str(best)), status=1
    )
    assert "had other validation images" in refused.stderr


def test_a_network_learns_from_a_teacher_who_has_not_seen_what_validates_it(
    image_folder: Path, trained: Path, tmp_path: Path
) -> None:
    best = str(trained / "best.safetensors")
    run(*fit_words(image_folder, tmp_path, "--epochs", "1", "--teacher", best))
    _, header = read_tensors(tmp_path / LAST)
    taught, taught_by = header["provenance"]["command"].split(" && ")[::-1]
    assert taught_by == read_tensors(trained / "best.safetensors")[1]["provenance"]["command"]
    assert taught.endswith(f" --teacher-weight 0.7 --teacher {trained.name}/best.safetensors")
    refused = run(*fit_words(image_folder, tmp_path / "x", "--seed", "5", "--teacher", best), status=1)
    assert "had other validation images" in refused.stderr
    unguided = run(*fit_words(image_folder, tmp_path / "x", "--teacher-weight", "0.5"), status=1)
    assert "there is none" in unguided.stderr
    assert not (tmp_path / "x").exists()


def test_a_run_starts_from_an_exported_model(
    image_folder: Path, trained: Path, exported: Path, tmp_path: Path
) -> None:
    words = ("--epochs", "1", "--learning-rate", "1e-9", "--start-from", str(exported))
    run(*fit_words(image_folder, tmp_path / "on", *words))
    first, second = (read_tensors(folder / LAST)[0] for folder in (trained, tmp_path / "on"))
    best = read_tensors(trained / "best.safetensors")[0]
    assert first.keys() == second.keys()
    torch.testing.assert_close(best["digits.weight"], second["digits.weight"], atol=1e-5, rtol=0)
    drawn, drawn_on = (each["decoder.layers.0.weight"] for each in (best, second))
    torch.testing.assert_close(drawn, drawn_on, atol=1e-4, rtol=1e-3)  # may be stored as fp16
    before, now = read_tensors(tmp_path / "on" / LAST)[1]["provenance"]["command"].split(" && ")
    assert before == ModelCard.load(exported).training["command"]
    assert now.endswith(f" --start-from {exported.parent.name}/mine")


def test_a_model_takes_the_place_of_one_with_a_model_card(
    image_folder: Path, trained: Path, exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("the card of before\n")
    run("export", trained / "best.safetensors", "--output", tmp_path / "mine", "--version", "4")
    assert ModelCard.load(tmp_path / "mine").version == "4"
    text = (tmp_path / "mine" / "README.md").read_text()
    assert "\n# mine\n" in text
    refused = run("export", trained / "best.safetensors", "--output", tmp_path / "küche", status=1)
    assert "'küche' is the model's name too" in refused.stderr
    refused = run("export", tmp_path / "best [copy].safetensors", "--output", tmp_path / "mine", status=1)
    assert "best [copy].safetensors" in refused.stderr


@pytest.fixture(scope="module")
def further(image_folder: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that began with the best weights of another."""
    folder = tmp_path_factory.mktemp("further")
    run(*fit_words(image_folder, folder, "--epochs", "2", "--start-from", str(trained / BEST)))
    return folder


def parameters(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_network(path)[0].named_parameters())


def test_every_weight_lies_at_its_share_of_the_way(trained: Path, further: Path, tmp_path: Path) -> None:
    earlier, later = trained / BEST, further / BEST
    between = tmp_path / "between.safetensors"
    said = run("blend", earlier, later, "--share", "0.25", "--output", between).stderr
    assert f"{between}: validation error" in said
    begun, ended, mixed = map(parameters, (earlier, later, between))
    assert mixed.keys() == begun.keys()
    for name, weight in mixed.items():
        torch.testing.assert_close(weight, torch.lerp(begun[name], ended[name], 0.25))
    assert not torch.equal(begun["digits.weight"], ended["digits.weight"])


def test_its_ends_answer_as_the_two_networks_do(trained: Path, further: Path, tmp_path: Path) -> None:
    """The statistics of BatchNorm are taken again from the images that those of the two were taken from."""
    for share, path in ((0.0, trained / BEST), (1.0, further / BEST)):
        result = blend(trained / BEST, further / BEST, tmp_path / f"{share}.safetensors", share, None)
        known = read_tensors(path)[1]["result"]
        assert result.validation_error == known["validation_error"]
        assert result.validation_margin_loss == pytest.approx(known["validation_margin_loss"], rel=1e-4)


def test_capsules_of_other_classes_are_those_of_the_later_network(
    image_folder: Path, trained: Path, tmp_path: Path
) -> None:
    others = shutil.copytree(image_folder, tmp_path / "others")
    for number, home in enumerate(sorted(path for path in others.iterdir() if path.is_dir())):
        home.rename(others / f"other-{number}")
    later = tmp_path / "later" / BEST
    run(*fit_words(others, later.parent, "--epochs", "1", "--start-from", str(trained / BEST)))
    blend(trained / BEST, later, tmp_path / "between.safetensors", 0.5, None)
    begun, ended, mixed = map(parameters, (trained / BEST, later, tmp_path / "between.safetensors"))
    assert torch.equal(mixed["digits.weight"], ended["digits.weight"])
    torch.testing.assert_close(
        mixed["gather.weight"], torch.lerp(begun["gather.weight"], ended["gather.weight"], 0.5)
    )


def test_it_is_exported_and_begun_with_like_any_checkpoint(
    image_folder: Path, trained: Path, further: Path, tmp_path: Path
) -> None:
    between = tmp_path / "between.safetensors"
    result = blend(trained / BEST, further / BEST, between, 0.5, None)
    made = between.read_bytes()
    blend(trained / BEST, further / BEST, between, 0.5, None)
    assert between.read_bytes() == made
    header = read_tensors(between)[1]
    commands = header["provenance"]["command"].split(" && ")
    assert commands[-1] == (
        f"python -m training blend {trained.name}/{BEST} {further.name}/{BEST} --share 0.5"
    )
    assert " && ".join(commands[:-1]) == read_tensors(further / BEST)[1]["provenance"]["command"]
    run("export", between, "--output", tmp_path / "mine")
    run(*fit_words(image_folder, tmp_path / "on", "--epochs", "1", "--start-from", str(tmp_path / "mine")))
    assert header["result"]["validation_error"] == result.validation_error


def test_models_are_compared_on_the_images_that_validated_their_runs(
    image_folder: Path, trained: Path, exported: Path, further: Path, tmp_path: Path
) -> None:
    models = [exported, trained / BEST, further / BEST]
    dataset = f"folder:{image_folder}"
    found = [each.metrics for each in validate_models(models, dataset, None, None)]
    known = [read_tensors(path)[1]["result"] for path in (trained / BEST, trained / BEST, further / BEST)]
    assert [each.error for each in found] == [each["validation_error"] for each in known]
    assert [each.margin_loss for each in found] == pytest.approx(
        [each["validation_margin_loss"] for each in known], rel=1e-4
    )
    assert found[0].images > 3
    words = ("--validation", "3", "--epochs", "1", "--start-from", str(further / BEST))
    run(*fit_words(image_folder, tmp_path / "fewer", *words))
    models.append(tmp_path / "fewer" / BEST)
    data = load(dataset, "train", spec=ModelCard.load(exported).input)
    three = held_out(data, 0, 3, torch.device("cpu"))
    images = DatasetPart(three.images.numpy(), three.labels.numpy())
    for each in validate_models(models, dataset, None, None):
        model, _ = open_candidate(each.path).variants[each.variant]
        assert each.metrics == measure(model, images, f"folder:{image_folder.name}", None)
    run(*fit_words(image_folder, tmp_path / "other", "--seed", "1", "--epochs", "1"))
    models.append(tmp_path / "other" / BEST)
    seeds = validate_models(models, dataset, None, None)
    assert [(each.seed, each.metrics.images) for each in seeds] == [(0, 3)] * 4 + [(1, found[0].images)]
    said = run("validate", *models, "--dataset", dataset)
    assert "held out by seed 0, 1: each seed holds out others, so compare models of one" in said.stderr
    for name, seed in (("mine", 0), (f"{trained.name}/{BEST}", 0), (f"other/{BEST}", 1)):
        assert re.search(rf"^{name} +\w+ +folder:images, seed {seed} ", said.stdout, re.MULTILINE), (
            said.stdout
        )


def test_augmented_copies_are_the_same_for_all_models_and_each_time(
    image_folder: Path, others: Path, trained: Path, exported: Path
) -> None:
    models, dataset = [exported, trained / BEST], f"folder:{image_folder}"
    (plain,) = validate_models([exported], dataset, None, None)
    hands = Copies(augmentation="hands", count=8)
    of_model, of_checkpoint = (each.metrics for each in validate_models(models, dataset, None, hands))
    assert of_model.images == 8 * plain.metrics.images
    assert of_model.margin_loss == pytest.approx(of_checkpoint.margin_loss, rel=1e-3)
    assert of_model.margin_loss > plain.metrics.margin_loss
    words = ("validate", exported, "--dataset", dataset, "--augmentation", "hands")
    said = json.loads(run(*words, "--json").stdout)
    assert (said["held_out_by_seed"], said["augmentation"], said["copies"]) == (0, "hands", 8)
    assert said["errors"] == of_model.errors
    shown = run(*words, "--copies", "2", COLUMNS="40")  # no figure is cut where a terminal is narrow
    assert "held out by seed 0, 2 × hands" in shown.stderr
    row = rf"^mine +fp32 +folder:images +{2 * plain.metrics.images} .*\d\.\d{{5}} +\d\.\d{{5}} +\d+\.\d\d$"
    assert re.search(row, shown.stdout, re.MULTILINE), shown.stdout
    with pytest.raises(TrainingError, match="was trained on other images than those of folder:"):
        validate_models([exported], f"folder:{others}", None, None)


def test_networks_that_were_trained_apart_are_refused(
    exported: Path, trained: Path, further: Path, tmp_path: Path
) -> None:
    for earlier, later in ((further / BEST, trained / BEST), (exported, further / BEST)):
        refused = run("blend", earlier, later, "--output", tmp_path / "none.safetensors", status=1)
        assert f"began with other weights than {earlier}; give what" in " ".join(refused.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_blend_never_takes_the_place_of_another_network(
    trained: Path, further: Path, tmp_path: Path
) -> None:
    blend(trained / BEST, further / BEST, tmp_path / "between.safetensors", 0.5, None)
    for other in (further / LAST, trained / BEST, tmp_path / "between.safetensors"):
        kept = other.read_bytes()
        refused = run("blend", trained / BEST, further / BEST, "--share", "0.75", "--output", other, status=1)
        assert "is another network; give another --output" in " ".join(refused.stderr.split())
        assert other.read_bytes() == kept


def test_a_blend_is_not_validated_on_other_images(
    digits: DatasetPart, image_folder: Path, trained: Path, further: Path, tmp_path: Path
) -> None:
    extra = image_folder / "zero" / "extra.png"
    Image.fromarray(digits.images[3, 0]).save(extra)
    try:
        with pytest.raises(TrainingError, match="has changed since"):
            blend(trained / BEST, further / BEST, tmp_path / "none.safetensors", 0.5, None)
    finally:
        extra.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_blend_keeps_the_classes_that_began_fresh(
    digits: DatasetPart, trained: Path, tmp_path: Path
) -> None:
    """Two classes of three: the capsules of both are the later network's, the rest is halfway."""
    fewer = write_images(tmp_path / "fewer", digits, range(200))
    shutil.rmtree(fewer / "seven")
    run(*fit_words(fewer, tmp_path / "run", "--epochs", "1", "--start-from", str(trained / BEST)))
    blend(trained / BEST, tmp_path / "run" / BEST, tmp_path / "between.safetensors", 0.5, None)
    between = tmp_path / "between.safetensors"
    begun, ended, mixed = map(parameters, (trained / BEST, tmp_path / "run" / BEST, between))
    assert torch.equal(mixed["digits.weight"], ended["digits.weight"])
    halfway = [name for name, weight in mixed.items() if weight.shape == begun[name].shape]
    assert len(halfway) > 5
    for name in halfway:
        torch.testing.assert_close(mixed[name], (begun[name] + ended[name]) / 2)


def test_an_exported_model_is_refused_where_it_does_not_fit(
    image_folder: Path, trained: Path, exported: Path, tmp_path: Path
) -> None:
    header = read_tensors(trained / LAST)[1]
    run_config = RunConfig.from_dict(header["recipe"])
    data = load(f"folder:{image_folder}", "train", spec=run_config.input)
    teach = partial(Teacher.read, classes=ModelCard.load(exported).classes)
    assert teach(exported, run_config, data).file == f"{exported.parent.name}/mine"
    another = replace(run_config, seed=5)
    for read in (InitialWeights.read, teach):
        with pytest.raises(TrainingError, match="mine: had other validation images"):
            read(exported, another, data)
    changed = DatasetPart(data.images[1:], data.labels[1:])
    InitialWeights.read(exported, replace(another, dataset="folder:elsewhere"), changed)
    with pytest.raises(TrainingError, match="mine: had other validation images"):
        InitialWeights.read(exported, run_config, changed)
    assert len(data.labels) // 10 > 4
    InitialWeights.read(exported, replace(run_config, validation=4), data)  # four of those that were held out
    fewer = tmp_path / "fewer"
    run(*fit_words(image_folder, fewer, "--epochs", "1", "--validation", "4"))
    with pytest.raises(
        TrainingError, match=r"give its data, --split-seed 0 and a --validation of at most 4$"
    ):
        InitialWeights.read(fewer / LAST, run_config, data)
    wider = replace(run_config, network=replace(run_config.network, primary_capsules=16))
    with pytest.raises(TrainingError, match=r"mine: is of another network, ModelConfig\("):
        InitialWeights.read(exported, wider, data)
    silent = shutil.copytree(exported, tmp_path / "silent")
    card = json.loads((silent / "card.json").read_text())
    (silent / "card.json").write_text(json.dumps(card | {"training": {}}))
    with pytest.raises(CardError, match="silent: its card does not say how it was trained"):
        InitialWeights.read(silent, run_config, data)


def test_a_model_of_other_classes_gives_its_features(
    digits: DatasetPart, exported: Path, trained: Path, tmp_path: Path
) -> None:
    own = write_images(tmp_path / "own", digits, range(60))
    shutil.rmtree(own / NAMES[7])
    words = ("--epochs", "1", "--learning-rate", "1e-9", "--seed", "7", "--start-from", str(exported))
    told = run(*fit_words(own, tmp_path / "run", *words)).stderr
    assert re.search(r"mine has: .*\bdigits\.weight\b.* begin fresh", " ".join(told.split()))
    first, second = (
        read_tensors(path)[0] for path in (trained / "best.safetensors", tmp_path / "run" / LAST)
    )
    torch.testing.assert_close(first["trunk.0.0.weight"], second["trunk.0.0.weight"], atol=1e-5, rtol=0)
    assert len(second["digits.weight"]) == 2
    same_number = write_images(tmp_path / "renamed", digits, range(60))
    (same_number / NAMES[7]).rename(same_number / "sept")
    told = run(*fit_words(same_number, tmp_path / "again", *words)).stderr
    assert re.search(r"mine has: .*\bdigits\.weight\b.* begin fresh", " ".join(told.split()))


def test_a_model_that_sees_mirrored_images_gives_the_features_of_its_network(
    image_folder: Path, tmp_path: Path
) -> None:
    shipped = ROOT / "artifacts" / "fashion_mnist"
    words = (
        "--architecture",
        "residual",
        "--primary-capsules",
        "16",
        "--epochs",
        "1",
        "--learning-rate",
        "1e-9",
    )
    run(*fit_words(image_folder, tmp_path / "run", *words, "--start-from", str(shipped)))
    begun, now = restore(shipped)[0].state_dict(), read_tensors(tmp_path / "run" / LAST)[0]
    trunk = [name for name in now if name.startswith("trunk.") and name.endswith("weight")]
    assert trunk
    for name in trunk:
        torch.testing.assert_close(begun[f"members.0.{name}"], now[name], atol=1e-4, rtol=1e-3)


def test_a_report_draws_measures_and_fills_the_page(
    image_folder: Path, others: Path, trained: Path, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "results.md").write_text("Before\n<!-- figures: calibration -->\nold\n<!-- end -->\nAfter\n")
    done = run("report", exported, "--dataset", f"folder:{others}", "--output", tmp_path)
    assert "fewer than 60 images" in done.stderr.replace("\n", " ")  # too few to say what a dimension means
    found = json.loads((tmp_path / "results" / "mine.json").read_text())
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["images"] == len(list(others.glob("*/*.png")))
    assert confusion.trace() == found["images"] - found["errors"]
    page = (tmp_path / "results.md").read_text()
    assert f"| `mine` | {100 * confusion.trace() / confusion.sum():.2f} |" in page
    assert page.startswith("Before\n")
    assert page.endswith("<!-- end -->\nAfter\n")
    assert "old" not in page
    for name in ("reconstructions", "perturbations", "confusion", "reliability"):
        with Image.open(tmp_path / "images" / f"mine-{name}.png") as plot:
            assert min(plot.size) > 300
            shades = plot.convert("L").getcolors(256)
            assert shades is not None
            assert len(shades) > 50


@pytest.mark.slow
def test_an_exported_model_is_attacked_if_one_asks_for_it(
    others: Path, exported: Path, tmp_path: Path
) -> None:
    words = ("--dataset", f"folder:{others}", "--attack-images", "8", "--output", tmp_path)
    run("report", exported, *words)
    found = json.loads((tmp_path / "results" / "mine.json").read_text())
    unharmed, *attacked = (each["accuracy"] for each in found["attacks"])
    assert unharmed > 0.7
    assert min(attacked) < 0.5
    assert "confusion" in found


@pytest.mark.slow
def test_what_a_model_was_trained_on_tests_nothing(
    image_folder: Path, exported: Path, tmp_path: Path
) -> None:
    done = run("report", exported, "--dataset", f"folder:{image_folder}", "--output", tmp_path)
    assert "is what the model was trained on" in done.stderr.replace("\n", " ")
    assert "errors" not in json.loads((tmp_path / "results" / "mine.json").read_text())
    words = ("--dataset", f"folder:{image_folder}", "--attack-images", "8", "--output", tmp_path)
    assert "so they measure nothing" in run("report", exported, *words, status=1).stderr.replace("\n", " ")


def test_a_report_on_other_classes_or_of_no_class_is_refused(
    others: Path, exported: Path, sample_folder: Path, tmp_path: Path
) -> None:
    digits = ("--data", sample_folder, "--dataset", "mnist")
    assert "one, seven, zero" in run("report", exported, *digits, "--output", tmp_path, status=1).stderr
    assert "one, seven, zero" in run("meaning", exported, *digits, status=1).stderr
    words = ("--dataset", f"folder:{others}", "--example", "3", "--output", tmp_path)
    assert "has no class 3; its 3 are counted from 0" in run("report", exported, *words, status=1).stderr


@pytest.mark.parametrize("architecture", ["shared", "capsnet"])
@pytest.mark.slow
def test_two_processes_train_as_one(architecture: str, image_folder: Path, tmp_path: Path) -> None:
    """Networks without BatchNorm: the same global batch gives the same loss and the same gradient."""
    words = f"--architecture {architecture} --primary-capsules 16 --augmentation none --epochs 1".split()
    logs, weights = [], []
    for devices in ("1", "2"):
        folder = tmp_path / devices
        run_alone(*fit_words(image_folder, folder, *words, "--precision", "32-true", "--devices", devices))
        logs.append(next(csv.DictReader((folder / LOG).read_text().splitlines())))
        weights.append(read_tensors(folder / LAST)[0])
    for name in ("loss", "margin_loss", "reconstruction_loss", "validation_margin_loss"):
        assert float(logs[1][name]) == pytest.approx(float(logs[0][name]), rel=1e-3), name
    for name in (
        weights[0] if architecture == "shared" else ()
    ):  # among 8 M weights Adam turns some of no gradient
        torch.testing.assert_close(weights[0][name], weights[1][name], atol=1e-4, rtol=1e-3)


def test_a_run_killed_without_warning_goes_on(image_folder: Path, trained: Path, tmp_path: Path) -> None:
    """Kill -9 as soon as there is something to go on from; the end must be that of the run that was not killed."""
    words = fit_words(image_folder, tmp_path)
    with subprocess.Popen(command(*words), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 240
        while not (tmp_path / STATE).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / STATE).exists()
    refused = run(*words, status=1).stderr
    assert "holds a run already; give --resume" in refused
    run(*words, "--resume")
    unbroken, resumed = (read_tensors(folder / LAST)[0] for folder in (trained, tmp_path))
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.skipif(torch.cuda.is_available(), reason="one of the mistakes is no mistake here")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--dataset", "mnits", "--output", "x"], "no data set 'mnits'"),
        (["fit", "--dataset", "mnits", "--epochs", "auto", "--output", "x"], "no data set 'mnits'"),
        (["fit", "--dataset", "folder:none", "--output", "x"], "none: no such folder"),
        (
            ["fit", "--dataset", "mnist", "--data", "none", "--output", "x"],
            "python -m training download mnist",
        ),
        (["fit", "--dataset", "mnist", "--image-size", "32", "--output", "x"], "input of its own"),
        (
            ["fit", "--dataset", "mnist", "--architecture", "nets", "--output", "x"],
            "known are capsnet, cnn, cnn-residual, cnn-small, efficient",
        ),
        (["fit", "--dataset", "mnist", "--augmentation", "wild", "--output", "x"], "augmentation is 'wild'"),
        (
            [
                "fit",
                "--dataset",
                "mnist",
                "--architecture",
                "capsnet",
                "--primary-capsules",
                "32",
                "--output",
                "x",
            ],
            "primary_capsules is 32, for which capsnet has no use; those that have: cnn-small, efficient",
        ),
        (
            ["fit", "--dataset", "mnist", "--architecture", "efficient", "--class-bias", "--output", "x"],
            "class_bias is True, for which efficient has no use; those that have: capsnet, shared",
        ),
        (["export", "none.safetensors", "--output", "x"], "none.safetensors: no such checkpoint"),
        (["evaluate", "none.safetensors"], "none.safetensors: no such checkpoint"),
        (["evaluate", "docs"], "card.json"),
        (["validate", "artifacts/mnist", "--copies", "2"], "--copies: are of what --augmentation makes"),
        (["validate", "artifacts/mnist", "--augmentation", "wild"], "'wild'; it must be one of none, shift"),
        (["validate", "none.safetensors"], "none.safetensors: no such checkpoint"),
        (
            ["fit", "--dataset", "folder:tests", "--accelerator", "cuda", "--output", "x"],
            "finds no CUDA device",
        ),
        (["download", "mnits"], "mnits"),
    ],
)
def test_a_mistake_is_one_clear_line(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("CAPSNET_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["training", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert message in capsys.readouterr().err
    assert not (ROOT / "x").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "many"], "neither auto nor a whole number"),
        (["--preprocess", "wild"], "neither auto nor one of mnist, fashion, resize"),
    ],
)
def test_a_value_is_auto_or_of_its_kind(words: list[str], message: str) -> None:
    refused = run("fit", "--dataset", "mnist", "--output", "x", *words, status=2)
    assert message in " ".join(refused.stderr.replace("│", " ").split())  # the frame that typer draws


def test_a_model_is_not_measured_on_other_classes(exported: Path, sample_folder: Path) -> None:
    result = run("evaluate", exported, "--dataset", "mnist", "--data", sample_folder, status=1)
    assert "one, seven, zero" in result.stderr


def test_the_commonest_mistakes_are_named() -> None:
    counts = np.array([[5, 1, 0], [4, 9, 0], [0, 2, 7]])
    assert (
        most_confused(counts, ("ash", "beech", "[oak]")) == "beech → ash, 4; [oak] → beech, 2; ash → beech, 1"
    )
    assert most_confused(np.diag([3, 4, 5]), ("ash", "beech", "oak")) == ""
