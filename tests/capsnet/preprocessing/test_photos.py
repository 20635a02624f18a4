"""Pictures as people make them, read by the model that ships: few of each kind (all: docs/pictures.md)."""

from pathlib import Path

import numpy as np
import pytest

from model.onnx_model import open_variants
from tests.scenes import kinds
from tests.scenes.measure import predictions, read_kind
from training.datasets import Split

ROOT = Path(__file__).resolve().parents[2]
PHOTOS, DRAWINGS = 4, 5  # of each kind
OVERALL = 0.97


@pytest.fixture(scope="module")
def read_right(digits: Split) -> dict[str, np.ndarray]:
    """Which pictures of each kind are read right, bool (n,)."""
    pytest.importorskip("pillow_heif")
    model = open_variants(ROOT / "artifacts" / "mnist")[1]["fp32"]
    result = {}
    for kind in kinds.KINDS:
        count = PHOTOS if kind in kinds.PHOTOS else DRAWINGS
        reading = read_kind(kind, digits.images[:count, 0], enlargement=1)
        result[kind] = predictions(model, reading.seen) == digits.labels[:count]
    return result


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_a_kind_is_read(kind: str, read_right: dict[str, np.ndarray]) -> None:
    assert (~read_right[kind]).sum() <= 1


@pytest.mark.slow
def test_all_kinds_together_are_read(read_right: dict[str, np.ndarray]) -> None:
    assert np.concatenate(list(read_right.values())).mean() >= OVERALL
