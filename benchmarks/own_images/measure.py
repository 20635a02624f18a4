"""Train on a folder of one kind as a user would, and measure the exported model on new images."""

import io
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.own_images.kinds import KINDS, Kind
from capsnet import guard
from capsnet.card import Guard
from capsnet.config import InputSpec
from capsnet.onnx_model import OnnxModel, open_variants, reconstruct
from capsnet.preprocessing.pipeline import decode
from training.data.datasets import load
from training.evaluation.honesty import nearest_neighbours
from training.evaluation.intervals import wilson

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data"
TRAINING, HELD_OUT_PART, OTHER_PART, PARTS = 0, 1, 2, 3  # a part's seed is PARTS * draw + its number
HELD_OUT, OTHERS = 200, 60  # images
BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of one kind; shares are of images, from 0 to 1.

    Attributes
    ----------
    images, classes, held_out
        Numbers of images, classes and held-out images.
    minutes, processor_minutes
        From the command to the exported model: wall time, and CPU time.
    error, low, high, neighbour
        Share of the held-out images that are wrong with its interval of 95 %, and of a nearest neighbour.
    refused_good
        Share of the held-out images that the guard refuses.
    refused
        Share of images of other kinds that it refuses, by kind.
    """

    kind: str
    title: str
    images: int
    classes: int
    held_out: int
    minutes: float
    processor_minutes: float
    error: float
    low: float
    high: float
    neighbour: float
    refused_good: float
    refused: dict[str, float]

    @property
    def refused_others(self) -> float:
        """Return the mean share that the guard refuses over the other kinds."""
        return float(np.mean(list(self.refused.values())))


def measure(name: str, work: Path, *options: str, draw: int = 0) -> Result:
    """Draw a kind below the folder `work`, run the commands on it, and measure what they export.

    Each `draw` has images of its own. More `options` of `fit` may be given.
    """
    kind = KINDS[name]
    folder = kind.write(work / name / "images", PARTS * draw + TRAINING)
    model = work / name / f"own-{name}"
    used, began = _processor_seconds(), time.monotonic()
    run = work / name / "run"
    _training("fit", "--dataset", f"folder:{folder}", "--output", str(run), "--resume", *options)
    _training("export", str(run / "best.safetensors"), "--output", str(model), "--force")
    seconds, used = time.monotonic() - began, _processor_seconds() - used
    card, models = open_variants(model)
    network, thresholds = models["fp32"], card.variants["fp32"].guard
    count = -(-HELD_OUT // len(kind.classes))
    held_out = kind.write(work / name / "held-out", PARTS * draw + HELD_OUT_PART, count)
    images, labels = read_folder(held_out, kind, card.input)
    training_images, training_labels = read_folder(folder, kind, card.input)
    neighbours = training_labels[nearest_neighbours(to_bytes(images), to_bytes(training_images))]
    lengths, accepted = classify(network, thresholds, images)
    wrong = int((lengths.argmax(axis=1) != labels).sum())
    low, high = wilson(wrong, len(labels))
    return Result(
        kind=name,
        title=kind.title,
        images=len(training_labels),
        classes=len(kind.classes),
        held_out=len(labels),
        minutes=seconds / 60,
        processor_minutes=used / 60,
        error=wrong / len(labels),
        low=low,
        high=high,
        neighbour=float((neighbours != labels).mean()),
        refused_good=float((~accepted).mean()),
        refused={
            other: float((~classify(network, thresholds, others)[1]).mean())
            for other, others in other_images(kind, card.input, work, PARTS * draw + OTHER_PART).items()
        },
    )


def other_images(kind: Kind, spec: InputSpec, work: Path, seed: int) -> dict[str, np.ndarray]:
    """Return images (N,C,H,W) of other kinds: digits, noise, and the folders that share no class."""
    found = {"digits": digits(spec), "noise": noise(spec, seed)}
    for name, other in KINDS.items():
        if not set(other.classes) & set(kind.classes):
            folder = other.write(work / "others" / name, seed, -(-OTHERS // len(other.classes)))
            found[name] = read_folder(folder, other, spec)[0]
    return found


def digits(spec: InputSpec) -> np.ndarray:
    """Return handwritten digits (N,C,H,W), light on dark, from the sample in tests/data."""
    sample = load("mnist", "test", SAMPLE, subset=True).images[:OTHERS, 0]
    return _prepared([Image.fromarray(each) for each in sample], spec)


def noise(spec: InputSpec, seed: int) -> np.ndarray:
    """Return images (N,C,H,W) of random pixels: half of them fine, half of them coarse."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(OTHERS):
        pixels = random.integers(0, 256, (16 if number % 2 else 128,) * 2 + (3,)).astype(np.uint8)
        made.append(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC))
    return _prepared(made, spec)


def read_folder(folder: Path, kind: Kind, spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N,C,H,W) in [0,1] of a folder and their labels (N,), prepared as the service does it."""
    paths = [
        (path, label) for label, name in enumerate(kind.classes) for path in sorted((folder / name).iterdir())
    ]
    images = np.stack([decode(path.read_bytes(), spec) for path, _ in paths])
    return images, np.array([label for _, label in paths])


def classify(model: OnnxModel, thresholds: Guard, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lengths (N,J) of images (N,C,H,W), and whether the guard accepts each (N,)."""
    lengths, accepted = [], []
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        found, poses = model.encode(part)
        drawn = reconstruct(model, found, poses)
        lengths.append(found)
        accepted.append(guard.distance(part, drawn) <= guard.thresholds(thresholds, part, found))
    return np.concatenate(lengths), np.concatenate(accepted)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Return images in [0,1] as uint8."""
    levels: np.ndarray = np.rint(images * 255).astype(np.uint8)
    return levels


def table(results: Sequence[Result]) -> str:
    """Return the figures as a table in Markdown."""
    lines = [
        "| kind | images | minutes | processor | wrong, 95 % interval | nearest neighbour | good ones refused | "
        "other kinds refused |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in results:
        worst = min(each.refused, key=lambda kind: each.refused[kind])
        lines.append(
            f"| {each.title} (`{each.kind}`) | {each.classes} × {each.images // each.classes} | {each.minutes:.1f} | "
            f"{each.processor_minutes:.1f} | {100 * each.error:.1f} %, {100 * each.low:.1f} to {100 * each.high:.1f} | "
            f"{100 * each.neighbour:.1f} % | {100 * each.refused_good:.1f} % | {100 * each.refused_others:.1f} % "
            f"({worst} {100 * each.refused[worst]:.0f} %) |"
        )
    return "\n".join(lines) + "\n"


def _prepared(images: Sequence[Image.Image], spec: InputSpec) -> np.ndarray:
    """Return images as the service would read them from PNG files."""
    found = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        found.append(decode(file.getvalue(), spec))
    return np.stack(found)


def _training(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "training", *words], cwd=ROOT, check=True)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
