"""What counts of errors say, and what the tables of the page say of the models that ship."""

import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from capsnet.card import Metrics, ModelCard, Validation
from capsnet.config import ModelConfig
from training.evaluation.intervals import fisher_p, wilson
from training.reporting.results_page import (
    ANCHORS,
    COMPARED,
    OWN_ANCHORS,
    Goal,
    beginning,
    core_hours,
    multiply_adds,
    section,
)
from training.reporting.tables import describe_validation, draws, interval
from training.trainer.stages import Provenance

ROOT = Path(__file__).resolve().parents[3]
REPORTED = [
    path.stem
    for path in sorted((ROOT / "docs" / "results").glob("*.json"))
    if (ROOT / "artifacts" / path.stem).is_dir()
]


def test_wilson_and_fisher_give_the_known_figures() -> None:
    low, high = wilson(32, 10_000)
    assert 100 * low == pytest.approx(0.227, abs=0.001)
    assert 100 * high == pytest.approx(0.451, abs=0.001)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert fisher_p(32, 26, 10_000) == pytest.approx(0.51, abs=0.01)
    assert fisher_p(32, 17, 10_000) == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (1, "wrong on 412 of 5000 validation images"),
        (2, "wrong on 412 of 10000 objects in validation images"),
    ],
)
def test_errors_are_counted_among_objects(objects: int, said: str) -> None:
    figures = Validation(images=5000, errors=412, error=412 / 5000 / objects, pose_difference=0.1)
    assert describe_validation(figures, objects).startswith(f"{said} ({100 * 412 / 5000 / objects:.2f} %)")


def test_an_interval_counts_objects_and_draws_have_a_mean() -> None:
    metrics = Metrics(
        dataset="multimnist",
        images=10_000,
        errors=1263,
        error=0.06315,
        margin_loss=0.1,
        reconstruction_mse=0.02,
        accepted=0.95,
        draw_errors=(0.06, 0.07),
    )
    assert interval(metrics) == "5.99–6.66"  # of 20,000 digits
    assert draws(metrics) == "6.50 ± 0.71"


def test_a_stage_says_how_many_epochs_it_had() -> None:
    fit = "python -m training fit --dataset mnist --architecture shared --epochs 30 --seed 0"
    assert [stage.epochs for stage in Provenance.read({"command": f"{fit} && {fit} --until 18"}).stages] == [
        30,
        18,
    ]


@pytest.mark.parametrize("name", ["errors", "compute", "stages"])
def test_every_shipped_model_has_its_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = section(name, [])
    for path in (ROOT / "artifacts").glob("*/card.json"):
        assert f"| `{path.parent.name}` |" in text


def test_the_default_models_stand_beside_all_published_errors_and_others_beside_their_own_paper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    rows = [row.split(" | ")[:2] for row in section("anchors", []).splitlines()[2:]]
    for dataset, published in ANCHORS.items():
        assert [name for model, name in rows if model == f"| `{dataset}`"] == list(published)
    assert [name for model, name in rows if model == "| `mnist-capsnet`"] == [OWN_ANCHORS["capsnet"]]
    assert not [model for model, _ in rows if model == "| `mnist-shared`"]


def test_compared_networks_have_the_cost_of_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = json.loads((ROOT / "docs" / "results" / "translated-cnn.json").read_text(encoding="utf-8"))
    rows = {row.split(" | ")[0][3:-1]: row for row in section("compute", [result]).splitlines()[2:]}
    assert COMPARED.keys() <= rows.keys()
    # 41 of 46 planned epochs of 55,000 images, on two cores
    assert rows["mnist-capsnet"].endswith(" | 2.3 M | 3.3 |")
    # 12 epochs of 57,500 images, and 9 of 55,000
    assert rows["compared-residual"].startswith(
        "| `compared-residual` | 0, 1, 2 | 684,672 | 52 M | 0.7 M | 0."
    )
    assert rows["translated-cnn"] == "| `translated-cnn` | 0 | 157,728 | 35 M | 0.5 M | log not kept |"


def test_hours_are_epochs_times_the_median_epoch(tmp_path: Path) -> None:
    for seed, slow in ((0, 100_000), (1, 3600)):
        log = tmp_path / f"seed-{seed}" / "stage-1.csv"
        log.parent.mkdir()
        log.write_text(f"epoch,seconds\n1,3600\n2,{slow}\n3,3600\n")
    assert core_hours(tmp_path, networks=2) == "3.0"
    assert core_hours(tmp_path, networks=2, cores=(2,)) == "6.0"
    assert core_hours(tmp_path, cores=(1, 2)) == "9.0"
    logs = len(list(tmp_path.glob("**/*.csv")))
    assert core_hours(tmp_path, stages=logs) == "6.0"
    assert core_hours(tmp_path, stages=logs + 2) == f"6.0, of {logs} of {logs + 2} stages"
    assert core_hours(tmp_path / "none") == "log not kept"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(0.22, "aim reached"), (0.25, "reached; aim missed by 0.03"), (0.32, "missed by 0.04")],
)
def test_an_error_reaches_a_goal_or_misses_it_by_so_much(error: float, outcome: str) -> None:
    assert Goal(reach=0.28, aim=0.22).outcome(error) == outcome


def test_errors_stand_beside_what_was_to_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    card = ModelCard.load(ROOT / "artifacts" / "multimnist")
    metrics = card.variants["fp32"].metrics
    assert metrics is not None
    assert metrics.draw_errors is not None
    affine = {"model": "translated-residual", "affine": {"accuracy": {"affnist": 0.92}}}
    text = section("goals", [affine])
    assert f"| `multimnist` | `multimnist` | {100 * mean(metrics.draw_errors):.2f} | 4.00 | 3.20 |" in text
    assert "| `translated-residual` | `affnist` | 8.00 | 7.00 | 4.00 | missed by 1.00 |" in text
    assert "translated-residual" not in section("goals", [])


@pytest.mark.parametrize(
    ("start_from", "said"),
    [
        (None, "fresh weights"),
        ("last.safetensors", "last epoch of the stage before"),
        ("runs/blend.safetensors", "blend of the stages before"),
        ("artifacts/mnist", "model `artifacts/mnist`"),
    ],
)
def test_a_stage_says_what_it_began_with(start_from: str | None, said: str) -> None:
    assert beginning(start_from) == said


def test_multiply_adds_are_those_of_the_papers_network() -> None:
    assert multiply_adds(ModelConfig(architecture="capsnet")) == pytest.approx(0.20e9, rel=0.05)


@pytest.mark.parametrize("name", REPORTED)
def test_reported_figures_are_those_of_the_shipped_model(name: str) -> None:
    result = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    card = ModelCard.load(ROOT / "artifacts" / name)
    metrics = card.variants["fp32"].metrics
    assert metrics is not None
    reported: dict[str, Any] = {}
    shipped: dict[str, Any] = {}
    if "errors" in result:
        reported["errors"] = result["images"], result["errors"]
        shipped["errors"] = metrics.images, metrics.errors
    if pairs := result.get("pairs"):
        assert metrics.exact_match_error is not None
        reported["pairs"] = pairs["digits_right"], pairs["exact_match"]
        shipped["pairs"] = pytest.approx((1 - metrics.error, 1 - metrics.exact_match_error))
    if meaning := result.get("meaning"):
        named = {label: found["named"] for label, found in meaning["classes"].items()}
        reported["meaning"] = {label: each for label, each in named.items() if each}
        shipped["meaning"] = {label: [asdict(m) for m in each] for label, each in card.pose_meaning.items()}
    if directions := result.get("directions"):
        keys = ("property", "minimum", "maximum", "linearity", "agreement", "foretold", "drawn_slope", "leak")
        holding = {
            label: [[row[key] for key in keys] for row in rows if not row["failed"]]
            for label, rows in directions["classes"].items()
        }
        reported["directions"] = {label: rows for label, rows in holding.items() if rows}
        shipped["directions"] = {
            label: [[getattr(each, key) for key in keys] for each in rows]
            for label, rows in card.pose_directions.items()
        }
    assert reported == shipped


def test_most_models_that_ship_have_reported_figures() -> None:
    assert {"fashion_mnist", "mnist", "mnist-capsnet", "multimnist"} <= set(REPORTED)
