"""What counts of errors say, and what the tables of the page say of the models that ship."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from capsnet.card import Metrics, ModelCard
from training.evaluation.intervals import fisher_p, wilson
from training.reporting.results_page import multiply_adds, section
from training.reporting.tables import draws, interval
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


@pytest.mark.parametrize("name", ["errors", "compute", "anchors"])
def test_every_shipped_model_has_its_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = section(name, [])
    for path in (ROOT / "artifacts").glob("*/card.json"):
        card = ModelCard.load(path.parent)
        if name != "anchors" or card.training["dataset"] in ("mnist", "fashion_mnist"):
            assert f"| `{card.name}` |" in text


def test_multiply_adds_are_those_of_the_papers_network() -> None:
    card = ModelCard.load(ROOT / "artifacts" / "mnist-capsnet")
    assert multiply_adds(card) == pytest.approx(0.20e9, rel=0.05)


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
