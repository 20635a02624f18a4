"""Speed and memory of encoders: measured, written into the card and its page, and read where a card has none."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from capsnet.card import ModelCard, Speed, encoder_file
from tests.app.tiny_model import SIZE, write_tiny_model
from training.evaluation import speed
from training.evaluation.evaluate import write_card
from training.evaluation.speed import measure_speeds, session_memory
from training.reporting.model_cards import model_card
from training.reporting.tables import speed_table

LARGE = 1000  # dimensions of a pose: 784 x 10,000 weights, 31 MB


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "mnist")
    return tmp_path / "mnist"


def test_the_memory_of_a_session_is_about_that_of_its_weights_or_more(model: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "large", pose_dim=LARGE)
    small, large = (
        session_memory(folder / encoder_file("fp32"), (2, 1, SIZE, SIZE))
        for folder in (model, tmp_path / "large")
    )
    assert small is not None
    assert large is not None
    weights = SIZE * SIZE * 10 * LARGE * 4 / 1e6
    assert 0 < small < 60
    assert 0.9 * weights < large - small < 4 * weights


def test_a_system_that_does_not_tell_gives_no_figure(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "STATM", tmp_path / "none")
    assert session_memory(model / encoder_file("fp32"), (1, 1, SIZE, SIZE)) is None


def test_measured_speed_and_memory_reach_card_page_and_table(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.001)
    found = measure_speeds(model, batches=(1, 2))
    write_card(model, {}, found)
    card = ModelCard.load(model)
    written = card.variants["fp32"].speed
    assert written == found["fp32"]
    assert written.memory_mb is not None
    assert written.images_per_second.keys() == {"1", "2"}
    assert f"| {written.memory_mb:.0f} |" in _figures_of(card)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(speed_table(model, found))
    assert captured.get().split()[-1] == f"{written.memory_mb:.0f}"


def test_a_card_without_memory_is_read_and_has_no_column_of_it(model: Path) -> None:
    values = json.loads((model / "card.json").read_text(encoding="utf-8"))
    values["variants"]["fp32"]["speed"] = {
        "processor": "old",
        "images_per_second": {"1": 10.0},
        "best_batch": 1,
        "speedup": {"1": 1.0},
    }
    card = ModelCard.from_json(json.dumps(values))
    assert card.variants["fp32"].speed == Speed(
        processor="old", images_per_second={"1": 10.0}, best_batch=1, speedup={"1": 1.0}
    )
    assert "| fp32 | old | 1 | 10 |" in _figures_of(card)


def _figures_of(card: ModelCard) -> str:
    """Return the page of a card whose encoder has figures, which its speeds stand below."""
    shipped = ModelCard.load(Path(__file__).resolve().parents[3] / "artifacts" / "mnist-cnn")
    metrics = shipped.variants["fp32"].metrics
    assert metrics is not None
    return model_card(card.with_metrics({"fp32": metrics}), Path("mnist"))
