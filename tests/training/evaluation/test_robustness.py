"""Networks side by side on deformed digits: their test images, the counts, and the text of the page."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.export.exporter import export
from tests.model.descriptions import DESCRIPTION
from training.data.datasets import DERIVED, DatasetPart, describe, first_scenes, fixed_scenes, load
from training.evaluation.evaluate import TorchModel, measure, replace_card
from training.evaluation.pose_directions import _scenes
from training.evaluation.robustness import (
    AXES,
    UNCHANGED,
    RobustnessCurve,
    deformed_by,
    further_tests,
    measure_robustness,
)
from training.reporting import report
from training.reporting.report import compare, report_model
from training.reporting.results_page import render_results_page

TRANSLATED = "translated_mnist"
SCENE = DERIVED[TRANSLATED].scene
CONFIG = ModelConfig(architecture="shared", height=40, width=40, decoder_hidden=(16,))


def silent(_: str) -> None:
    """Watch nothing."""


@pytest.fixture(scope="module")
def model() -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(build(CONFIG))


@pytest.fixture(scope="module")
def digits(sample_folder: Path) -> DatasetPart:
    """Few, because each is looked at under forty deformations."""
    whole = load("mnist", "test", sample_folder, subset=True)
    return DatasetPart(whole.images[:60], whole.labels[:60])


@pytest.fixture(scope="module")
def plain(digits: DatasetPart) -> DatasetPart:
    return fixed_scenes(digits, SCENE)


@pytest.mark.parametrize(("name", "objects"), [("translated_mnist", 1), ("multimnist", 2)])
def test_commands_that_want_images_get_scenes_of_a_composed_data_set(
    name: str, objects: int, sample_folder: Path
) -> None:
    side = describe(name).input.height
    source = load("mnist", "test", sample_folder, subset=True)
    made = first_scenes(replace(source, scene=DERIVED[name].scene), 50)
    assert made.images.shape == (50, 1, side, side)
    assert made.labels.shape == ((50,) if objects == 1 else (50, objects))
    scenes = _scenes(made, int(made.labels.ravel()[0]), 5, np.random.default_rng(0))
    assert scenes.changed("rotation", 5.0).shape[1:] == (1, side, side)


@pytest.mark.parametrize("kind", AXES)
def test_what_is_deformed_by_nothing_is_what_was_trained_on(
    kind: str, digits: DatasetPart, plain: DatasetPart
) -> None:
    made = fixed_scenes(digits, deformed_by(SCENE, kind, 6.0 if kind == "shift" else 0.0))
    np.testing.assert_array_equal(made.images, plain.images)
    np.testing.assert_array_equal(made.labels, digits.labels)


@pytest.mark.parametrize("kind", UNCHANGED)
@pytest.mark.parametrize("end", [0, -1])
def test_every_digit_is_deformed_as_far_and_stays_whole(
    kind: str, end: int, digits: DatasetPart, plain: DatasetPart
) -> None:
    strength = AXES[kind].strengths[end]
    made = fixed_scenes(digits, deformed_by(SCENE, kind, strength))
    ink, before = (images.astype(float).sum(axis=(1, 2, 3)) for images in (made.images, plain.images))
    area = (1 + strength) ** 2 if kind == "scale" else 1.0
    np.testing.assert_allclose(ink / before, area, rtol=0.08 if area >= 1 else 0.2)
    assert len(np.unique(made.images.argmax(axis=2))) > 1
    assert (made.images != plain.images).any(axis=(1, 2, 3)).all()


def test_turns_are_the_way_and_as_far_as_they_say(digits: DatasetPart) -> None:
    bar = np.zeros((1, 1, 28, 28), np.uint8)
    bar[..., 5:23, 12:16] = 255
    for strength in (-40.0, 40.0):
        made = fixed_scenes(DatasetPart(bar, digits.labels[:1]), deformed_by(SCENE, "rotation", strength))
        rows, columns = np.nonzero(made.images[0, 0] > 128)
        slope = np.polyfit(rows, columns, 1)[0]
        assert np.degrees(np.arctan(slope)) == pytest.approx(-strength, abs=4)


def test_digits_are_shifted_further_and_not_out_of_the_frame(digits: DatasetPart, plain: DatasetPart) -> None:
    spread = []
    for furthest in AXES["shift"].strengths:
        made = fixed_scenes(digits, deformed_by(SCENE, "shift", furthest))
        np.testing.assert_array_equal(
            made.images.sum(axis=(1, 2, 3), dtype=int), plain.images.sum(axis=(1, 2, 3), dtype=int)
        )
        rows = made.images.sum(axis=(1, 3), dtype=float) @ np.arange(40)
        spread.append(np.std(rows / made.images.sum(axis=(1, 2, 3))))
    assert spread == sorted(spread)
    assert spread[0] < 1 < spread[-1]


def test_shares_are_those_that_a_measurement_finds(
    model: TorchModel, digits: DatasetPart, plain: DatasetPart
) -> None:
    found = measure_robustness(model, digits, TRANSLATED, silent)
    assert further_tests(TRANSLATED) == ("affnist",)
    assert further_tests("mnist") == ()
    assert found.images == 60
    for name in (TRANSLATED, "affnist"):
        metrics = measure(model, fixed_scenes(digits, DERIVED[name].scene), name, None)
        assert found.accuracy[name] == pytest.approx(1 - metrics.error)
    assert found.deformed_images == 12
    for kind, axis in AXES.items():
        assert tuple(strength for strength, _ in found.deformed[kind]) == axis.strengths
        trained = dict(found.deformed[kind])[6.0 if kind == "shift" else 0.0]
        assert trained == dict(found.deformed["scale"])[0.0]
        few = DatasetPart(digits.images[::5], digits.labels[::5])
        last = fixed_scenes(few, deformed_by(SCENE, kind, axis.strengths[-1]))
        assert found.deformed[kind][-1][1] == pytest.approx(1 - measure(model, last, "", None).error)
    assert RobustnessCurve.read(json.loads(json.dumps(asdict(found)))).accuracy == found.accuracy


def test_a_report_puts_networks_side_by_side(
    model: TorchModel,
    digits: DatasetPart,
    plain: DatasetPart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "load", lambda *words: digits)  # not the ten thousand of the published file
    images = plain.images.astype(np.float32) / 255
    made = {"command": "none", "dataset": TRANSLATED, "best_epoch": 3, "validation_error": 0.0078}
    description = replace(DESCRIPTION, input=describe(TRANSLATED).input, training=made)
    card = export(model._network, description, tmp_path / "one", images[:7], images)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for name in ("one", "two"):
        replace_card(tmp_path / name, replace(card, name=name))
    output = tmp_path / "docs"
    output.mkdir()
    page = output / "results.md"
    page.write_text("<!-- figures: affine -->\n<!-- end -->\n")
    render_results_page(output)
    assert "Not run; `python -m training report runs/translated-efficient-seed-0/" in page.read_text()
    plots = []
    for _ in range(2):
        for name in ("one", "two"):
            report_model(tmp_path / name, None, None, output, example=2, watch=silent)
        compare(output)
        render_results_page(output)
        plots.append((output / "images" / "affine.png").read_bytes())
    assert plots[0] == plots[1]
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    shares = [
        100 * (1 - measure(model, fixed_scenes(digits, DERIVED[name].scene), "", None).error)
        for name in (TRANSLATED, "affnist")
    ]
    figures = f"3 | 0.78 | {shares[0]:.2f} | {shares[1]:.2f} | {shares[0] - shares[1]:.2f} |"
    assert [row.split(" | ")[0] for row in rows] == ["| `one`", "| `two`"]
    assert all(row.endswith(figures) for row in rows)
    assert (output / "images" / "comparison.png").is_file()
    with Image.open(output / "images" / "affine.png") as plot:
        assert min(plot.size) > 250
