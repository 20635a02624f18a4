"""Train networks and measure them.

    from training import TrainConfig, train

    result = train(TrainConfig(dataset="folder:photos", output=Path("runs/kitchen")))
    print(result.best.validation_error, result.checkpoint)

See docs/training.md. The names below are loaded at their first use, because PyTorch is slow to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.trainer.config import TrainConfig
    from training.trainer.run import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "train"]

_MODULES = {"TrainConfig": "config", "TrainResult": "run", "train": "run"}


def __getattr__(name: str) -> Any:
    """Import a name from its module when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"training.trainer.{_MODULES[name]}"), name)
