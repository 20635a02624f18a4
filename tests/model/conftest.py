"""Exports take seconds each, so they are made once and looked at by many tests."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from capsnet.config import ModelConfig
from model.architectures.registry import build
from model.export.exporter import export
from tests.model.descriptions import DESCRIPTION, Exported
from training.data.datasets import DatasetPart


@pytest.fixture(scope="session")
def images(digits: DatasetPart) -> np.ndarray:
    """Images (60,1,28,28) in [0,1], the validation images of the exported network."""
    return digits.images[:60].astype(np.float32) / 255


@pytest.fixture(scope="session")
def exported_as(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """A network of an architecture, with normalisations that have something to do, and the folder of its export.

    Exported when first asked for. A test that changes the folder puts it back.
    """
    made: dict[str, Exported] = {}

    def get(architecture: str) -> Exported:
        if architecture not in made:
            torch.manual_seed(0)
            network = build(ModelConfig(architecture=architecture))
            with torch.no_grad():
                network.train().encode(torch.from_numpy(images))
            folder = tmp_path_factory.mktemp(architecture) / "test"
            export(network.eval(), DESCRIPTION, folder, images[:7], images)
            made[architecture] = network, folder
        return made[architecture]

    return get
