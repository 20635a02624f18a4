"""Report what docs/results.md shows of a model: figures into images/, numbers into results/NAME.json.

Numbers on the test set are reported and nothing is chosen by them; what pose dimensions mean, and examples of what the
decoder draws, come from training images.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from capsnet.card import Guard, ModelCard
from capsnet.config import InputSpec
from capsnet.onnx_model import Model, open_variants
from model.checkpoint import load_network
from model.export.exporter import fit_guard
from model.export.to_pytorch import restore
from model.nn.layers import CapsuleNetwork
from training.data.datasets import DERIVED, DatasetError, DatasetPart, load
from training.evaluation.adversarial import ATTACKS, outcomes
from training.evaluation.calibration import calibrate
from training.evaluation.evaluate import BATCH, TorchModel, check_classes, check_unseen, encode_all
from training.evaluation.pose_meaning import MeaningError, measure_poses, properties_of
from training.evaluation.robustness import RobustnessCurve, further_tests, measure_robustness
from training.reporting import plots, reconstruction_plots
from training.reporting.results_page import AFFINE_CHART, COMPARISON_CHART, read_results
from training.trainer.device_data import train_val_split
from training.trainer.run_state import RunIdentity

MISTAKES, PAIRS = 20, 8
EXAMPLE = 2
ATTACKED = 1000  # test images, by default
ORDER = ["none", *ATTACKS]
Watch = Callable[[str], None]


def report_model(
    folder: Path, dataset: str | None, data: Path | None, output: Path, *, example: int | None, watch: Watch
) -> None:
    """Draw and measure an exported model.

    Parameters
    ----------
    folder
        The exported model.
    dataset
        The data set of the images; by default that of the model's training.
    data
        Folder of the data sets.
    output
        Gets images/NAME-*.png and results/NAME.json.
    example
        Class whose pose is moved; by default the third, which is the digit 2, or the last of two.
    watch
        Called with each step, and each omission with its reason.

    Raises
    ------
    CardError, DatasetError
        If the model or the data set cannot be read.
    """
    card, variants = open_variants(folder)
    model, name = variants["fp32"], dataset or str(card.training["dataset"])
    check_classes(folder, card.classes, card.input, card.objects, name)
    if example is None:
        example = min(EXAMPLE, len(card.classes) - 1)
    if example >= len(card.classes):
        raise DatasetError(f"{folder}: has no class {example}; its {len(card.classes)} are counted from 0")
    figures = output / "images"
    found: dict[str, Any] = {"model": card.name, "version": card.version}
    if further_tests(name):
        save_results(output, card.name, found | {"affine": _affine(model, card, name, data, watch)})
        return
    test = load(name, "test", data, spec=card.input)
    if card.objects > 1:
        watch("pairs")
        found["pairs"] = _pairs(model, card, test, figures)
    else:
        training = load(name, "train", data, spec=card.input)
        watch("what the decoder draws")
        _draw(folder, model, card, training, figures, example)
        if test.fingerprint() == card.training.get("data"):
            watch(f"{name} is what the model was trained on: left out is what a test set is needed for")
        else:
            watch("the test set")
            found |= _tested(model, card, test, figures)
        watch("what pose dimensions mean")
        try:
            found["meaning"] = _meaning(model, card, training, figures)
        except MeaningError as error:
            watch(f"left out: {error}")
    save_results(output, card.name, found)


def _draw(
    folder: Path, model: Model, card: ModelCard, training: DatasetPart, figures: Path, example: int
) -> None:
    """Draw images beside their reconstructions, and the example with each dimension of its pose moved."""
    drawn, moved = (figures / f"{card.name}-{what}.png" for what in ("reconstructions", "perturbations"))
    reconstruction_plots.reconstructions(folder, training, drawn, example=example)
    reconstruction_plots.perturbations(model, training, moved, example=example)


def report_attacks(
    path: Path,
    dataset: str | None,
    data: Path | None,
    output: Path,
    *,
    images: int,
    watch: Watch,
    names: Collection[str] = (),
) -> None:
    """Attack a network, which needs its gradients; numbers go into results/NAME.json.

    Parameters
    ----------
    path
        An exported model, or RUN/best.safetensors, whose folder names its model, or the recipe's whose stage it is.
    dataset, data, output, watch
        As for `report_model`.
    images
        How many images of the test set to attack, from its beginning.
    names
        Names of the attacks, all by default; earlier results of others on as many images stay.

    Raises
    ------
    CardError, CheckpointError, DatasetError
        If the network or the data set cannot be read, or several objects are shown in an image.
    """
    if unknown := set(names) - ATTACKS.keys():
        raise DatasetError(f"--attack: is {min(unknown)!r}; it must be one of {', '.join(ATTACKS)}")
    target = _exported(path) if path.is_dir() else _checkpoint(path, data)
    if target.objects > 1:
        raise DatasetError(f"{path}: finds several objects in an image; attacks are on one")
    name = dataset or target.dataset
    check_classes(path, target.classes, target.input, target.objects, name)
    test = load(name, "test", data, spec=target.input)
    check_unseen(path, target.training_data, name, test)
    attacked = DatasetPart(test.images[:images], test.labels[:images])
    rows = []
    for outcome in outcomes(
        target.network.requires_grad_(False), attacked, target.guard, names=names or ATTACKS
    ):
        watch(f"{outcome.attack} at {outcome.epsilon}")
        rows.append(asdict(outcome))
    if names:
        rows = _with_earlier(output, target.name, rows)
    found = {"model": target.name, "architecture": target.network.config.architecture, "attacks": rows}
    save_results(output, target.name, found)


def _with_earlier(output: Path, name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of attacks, behind those that a model's results have of other attacks on as many images."""
    new = {(row["attack"], row["epsilon"]) for row in rows}
    earlier = [
        row
        for result in read_results(output)
        if result["model"] == name
        for row in result.get("attacks", [])
        if (row["attack"], row["epsilon"]) not in new and row["images"] == rows[0]["images"]
    ]
    return sorted([*earlier, *rows], key=lambda row: ORDER.index(row["attack"]))


@dataclass(frozen=True, kw_only=True)
class AttackTarget:
    """A network to attack, and the guard that is to notice it."""

    name: str
    network: CapsuleNetwork
    guard: Guard
    dataset: str
    training_data: str
    classes: tuple[str, ...]
    input: InputSpec
    objects: int


def _exported(folder: Path) -> AttackTarget:
    network, card = restore(folder)
    return AttackTarget(
        name=card.name,
        network=network,
        guard=card.variants["fp32"].guard,
        dataset=str(card.training.get("dataset", "")),
        training_data=str(card.training.get("data", "")),
        classes=card.classes,
        input=card.input,
        objects=card.objects,
    )


def _checkpoint(path: Path, data: Path | None) -> AttackTarget:
    """Return a target with the guard that an export would write, from the run's validation images."""
    network, header = load_network(path)
    origin = RunIdentity.read(path, header)
    config = origin.config
    _, held_out = train_val_split(origin.images(path, data), config, torch.device("cpu"))
    objects = header["objects"]
    return AttackTarget(
        name=_made_by(path.resolve().parent),
        network=network,
        guard=fit_guard(TorchModel(network), held_out.floats(slice(None)).numpy(), objects),
        dataset=config.dataset,
        training_data=origin.data,
        classes=tuple(header["classes"]),
        input=config.input,
        objects=objects,
    )


def _made_by(run: Path) -> str:
    """Return the name of the model that a run makes; `training.recipes` has runs in NAME-seed-0/stage-1."""
    is_stage = re.fullmatch(r"stage-\d+", run.name)
    return re.sub(r"-seed-\d+$", "", run.parent.name) if is_stage else run.name


def _affine(model: Model, card: ModelCard, dataset: str, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Measure how well a model trained on shifted digits classifies deformed ones, for the comparison with others."""
    source = load(DERIVED[dataset].source, "test", data)
    made = {key: card.training.get(key) for key in ("command", "best_epoch", "validation_error")}
    return {
        "architecture": card.config.architecture,
        "parameters": card.parameters["encoder"],
        **made,
        **asdict(measure_robustness(model, source, dataset, watch)),
    }


def compare(output: Path) -> None:
    """Draw the charts that compare models, from all saved results."""
    found = {
        each["model"]: RobustnessCurve.read(each["affine"])
        for each in read_results(output)
        if "affine" in each
    }
    if found:
        plots.draw_robustness(found, output / "images" / AFFINE_CHART)
        plots.draw_comparison(found, output / "images" / COMPARISON_CHART)


def save_results(output: Path, name: str, found: dict[str, Any]) -> None:
    """Save measured values in results/NAME.json, beside those of other commands."""
    path = output / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(before | found, indent=1) + "\n", encoding="utf-8")


def _tested(model: Model, card: ModelCard, test: DatasetPart, figures: Path) -> dict[str, Any]:
    """Measure confusion, calibration and the worst mistakes on a test set."""
    lengths, poses = encode_all(model, test)
    winner, classes = lengths.argmax(axis=1), len(card.classes)
    counts = np.bincount(test.labels * classes + winner, minlength=classes**2).reshape(classes, classes)
    plots.draw_confusion(counts, card.classes, figures / f"{card.name}-confusion.png")
    bins, error = calibrate(lengths, test.labels)
    plots.draw_reliability(bins, error, figures / f"{card.name}-reliability.png")
    margin = lengths.max(axis=1) - lengths[np.arange(len(lengths)), test.labels]
    worst = np.argsort(-margin)[: min(MISTAKES, int((winner != test.labels).sum()))]
    if len(worst):
        captions = [
            f"{card.classes[test.labels[row]]} → {card.classes[winner[row]]}\n{lengths[row].max():.2f}"
            for row in worst
        ]
        drawn = model.decode(poses[worst], winner[worst])
        images = test.images[worst].astype(np.float32) / 255
        plots.draw_mistakes(images, drawn, captions, figures / f"{card.name}-mistakes.png")
    return {
        "images": len(test.labels),
        "errors": int((winner != test.labels).sum()),
        "confusion": counts.tolist(),
        "calibration": {
            "error": error,
            "mean_length": float(lengths.max(axis=1).mean()),
            "accuracy": float((winner == test.labels).mean()),
            "bins": [asdict(each) for each in bins],
        },
    }


def _meaning(model: Model, card: ModelCard, training: DatasetPart, figures: Path) -> dict[str, Any]:
    """Measure what pose dimensions mean, by class."""
    measured, properties = measure_poses(model, card, training), properties_of(card)
    plots.draw_meaning(measured, properties, figures / f"{card.name}-meaning.png")
    return {
        "properties": properties,
        "classes": {
            label: {
                "whole": each.whole.round(3).tolist(),
                "named": [asdict(named) for named in each.label_dims(properties)],
                "largest_partial": float(np.abs(each.partial).max()),
            }
            for label, each in measured.items()
        },
    }


def _pairs(model: Model, card: ModelCard, test: DatasetPart, figures: Path) -> dict[str, Any]:
    """Measure how well two overlapping objects are told apart, and how empty the drawing of an absent class is."""
    if test.parts is None:
        raise DatasetError(f"{card.name}: looks for pairs, but its images do not say what they were made of")
    lengths, poses = encode_all(model, test)
    labels, parts = test.labels, test.parts.astype(np.float32) / 255  # (B,2), (B,2,C,H,W)
    predicted = np.argsort(-lengths, axis=1, kind="stable")[:, :2]
    right = (labels[:, :, None] == predicted[:, None]).any(axis=2)  # (B,2)
    absent = np.where(_present(lengths.shape, labels), -1.0, lengths).argmax(
        axis=1
    )  # the likeliest wrong class
    drawn = np.stack([_decode(model, poses, labels[:, k]) for k in range(2)], axis=1)
    nothing = _decode(model, poses, absent)
    own, other = (np.square(drawn - p).sum(axis=(2, 3, 4)).mean() for p in (parts, parts[:, ::-1]))
    captions = [" + ".join(card.classes[label] for label in pair) for pair in labels[:PAIRS]]
    images = test.images[:PAIRS].astype(np.float32) / 255
    plots.draw_pairs(
        images, parts[:PAIRS], drawn[:PAIRS], nothing[:PAIRS], captions, figures / f"{card.name}-pairs.png"
    )
    return {
        "images": len(labels),
        "digits_right": float(right.mean()),
        "exact_match": float(right.all(axis=1).mean()),
        "squared_error_own": float(own),
        "squared_error_other": float(other),
        "light_present": float(drawn.sum(axis=(2, 3, 4)).mean()),
        "light_absent": float(nothing.sum(axis=(1, 2, 3)).mean()),
    }


def _decode(model: Model, poses: np.ndarray, label: np.ndarray) -> np.ndarray:
    parts = range(0, len(label), BATCH)
    return np.concatenate([model.decode(poses[n : n + BATCH], label[n : n + BATCH]) for n in parts])


def _present(shape: tuple[int, ...], labels: np.ndarray) -> np.ndarray:
    """Return which classes are in each image: bool (B,J), from labels (B,K)."""
    flags = np.zeros(shape, dtype=bool)
    np.put_along_axis(flags, labels, True, axis=1)
    return flags
