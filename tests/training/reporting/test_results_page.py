"""What counts of errors say, and what the tables of the page say of the models that ship."""

from pathlib import Path

import pytest

from capsnet.card import Metrics, ModelCard
from training.evaluation.intervals import fisher_p, wilson
from training.reporting.results_page import multiply_adds, section
from training.reporting.tables import draws, interval
from training.trainer.stages import Provenance

ROOT = Path(__file__).resolve().parents[3]


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
