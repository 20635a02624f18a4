"""Fixtures that every part of the tests shares: where the data sets lie, and a sample that is always there."""

import os
import signal
from pathlib import Path

import pytest

from training.data.datasets import DatasetPart, load

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "data"

# A shell that starts the tests with `&` has them ignore SIGINT, and servers that they start would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Servers that tests start are on this machine, where no proxy of the environment leads.
for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """A folder in the layout of the data sets with the first images of each test set (see its README)."""
    return SAMPLE


@pytest.fixture(scope="session")
def digits() -> DatasetPart:
    """The first 300 test images of MNIST."""
    return load("mnist", "test", SAMPLE, subset=True)


@pytest.fixture(scope="session")
def clothes() -> DatasetPart:
    """The first 100 test images of Fashion-MNIST."""
    return load("fashion_mnist", "test", SAMPLE, subset=True)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the complete data sets; tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("CAPSNET_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "mnist").is_dir():
        pytest.skip("needs the complete data sets; CAPSNET_DATA names their folder")
    return folder
