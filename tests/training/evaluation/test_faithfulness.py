"""What occlusion ranks first is evidence: without it the capsule shortens sooner than without other ink."""

import numpy as np

from capsnet.onnx_model import open_variants
from capsnet.shipped_models import chosen_models
from training.data.datasets import DatasetPart
from training.evaluation.faithfulness import measure_faithfulness


def test_deleting_the_highest_ranked_tiles_shortens_the_capsule_first(digits: DatasetPart) -> None:
    _, variants = open_variants(chosen_models() / "mnist")
    found = measure_faithfulness(variants["fp32"], digits.images[:16].astype(np.float32) / 255)
    assert found.ranked < 0.8 * found.random
    assert found.lower >= 0.8
