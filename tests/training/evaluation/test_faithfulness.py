"""What an explanation ranks first is evidence: without it the capsule shortens sooner than without other ink."""

import numpy as np
import pytest

from capsnet.card import ModelCard
from capsnet.explanation.votes import RoutingGraph
from capsnet.onnx_model import open_variants
from capsnet.shipped_models import chosen_models
from training.data.datasets import DatasetPart
from training.evaluation.faithfulness import measure_faithfulness
from training.evaluation.overlap import measure_overlap


def test_deleting_the_highest_ranked_tiles_shortens_the_capsule_first(digits: DatasetPart) -> None:
    _, variants = open_variants(chosen_models() / "mnist")
    found = measure_faithfulness(variants["fp32"], digits.images[:16].astype(np.float32) / 255)
    assert found.ranked < 0.8 * found.random
    assert found.lower >= 0.8


@pytest.mark.parametrize(
    ("name", "images", "share", "lower"), [("mnist-capsnet", 12, 1.0, 0.4), ("mnist-shared", 24, 0.95, 0.6)]
)
def test_votes_rank_evidence_better_than_chance_and_occlusion_ranks_it_best(
    digits: DatasetPart, name: str, images: int, share: float, lower: float
) -> None:
    """In CapsNet hardly better, as docs/results.md says."""
    folder = chosen_models() / name
    card, variants = open_variants(folder)
    assert card.routing is not None
    arrays = digits.images[:images].astype(np.float32) / 255
    graph = RoutingGraph.open(card, folder)
    found = measure_faithfulness(variants["fp32"], arrays, graph, card.routing.grid)
    assert found.votes is not None
    assert found.votes_lower is not None
    assert found.ranked < found.votes < share * found.random
    assert found.votes_lower >= lower
    for curve in found.curves.values():
        assert len(curve) == 21
        assert curve[0] > 0.85
    assert np.mean(found.curves["votes"]) < np.mean(found.curves["random"])


def test_the_votes_for_overlapping_digits_come_apart(digits: DatasetPart) -> None:
    folder = chosen_models() / "mnist-shared"
    card = ModelCard.load(folder)
    assert card.routing is not None
    images = digits.images.astype(np.float32) / 255
    graph = RoutingGraph.open(card, folder)
    found = measure_overlap(graph, card.routing.grid, images, digits.labels, 200)
    assert found.found >= 20
    assert len(found.gaps) == card.routing.iterations
    assert found.gaps == sorted(found.gaps)
    assert found.gaps[-1] > 1.3 * found.gaps[0]
