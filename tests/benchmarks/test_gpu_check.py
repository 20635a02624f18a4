"""What `make gpu-check` asks of the service, as far as a machine without a GPU can tell."""

from pathlib import Path

import pytest

from benchmarks.gpu_check import having
from capsnet.card import ModelCard
from tests.conftest import ROOT


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_service_is_asked_for_a_precision_that_all_of_its_models_have(
    precision: str, tmp_path: Path
) -> None:
    served = having(ROOT / "artifacts", precision, tmp_path / "models")
    cards = [ModelCard.load(folder) for folder in served.iterdir()]
    assert all(precision in card.variants for card in cards)
    assert "mnist" in [card.name for card in cards]
