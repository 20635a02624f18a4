"""Images as people make them, read by the model that ships: few of each kind (all: docs/images.md)."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.preprocessing import catalogue
from benchmarks.preprocessing.measure import predictions, read_kind
from capsnet.onnx_model import open_variants
from training.data.datasets import DatasetPart

ROOT = Path(__file__).resolve().parents[3]
PHOTOS, DRAWINGS = 4, 5  # of each kind
OVERALL = 0.97


@pytest.fixture(scope="module")
def read_right(digits: DatasetPart) -> dict[str, np.ndarray]:
    """Which images of each kind are read right, bool (n,)."""
    pytest.importorskip("pillow_heif")
    model = open_variants(ROOT / "artifacts" / "mnist")[1]["fp32"]
    result = {}
    for kind in catalogue.KINDS:
        count = PHOTOS if kind in catalogue.PHOTOS else DRAWINGS
        reading = read_kind(kind, digits.images[:count, 0], enlargement=1)
        result[kind] = predictions(model, reading.seen) == digits.labels[:count]
    return result


@pytest.mark.slow
@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_a_kind_is_read(kind: str, read_right: dict[str, np.ndarray]) -> None:
    assert (~read_right[kind]).sum() <= 1


@pytest.mark.slow
def test_all_kinds_together_are_read(read_right: dict[str, np.ndarray]) -> None:
    assert np.concatenate(list(read_right.values())).mean() >= OVERALL
