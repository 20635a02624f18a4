"""Use capsule networks without PyTorch: models in this process, or the service over HTTP.

    from capsnet import Client, load

    print(load("mnist")("seven.png").label)

    with Client("http://127.0.0.1:8000") as client:
        print(client.classify("seven.png").label)

docs/client.md shows every call. A name is imported when it is first used, so that the command starts quickly.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# ONNX Runtime reports its use to its makers unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from capsnet.client.async_client import AsyncClient
    from capsnet.client.retry import DEFAULT_RETRIES, DEFAULT_TIMEOUT
    from capsnet.client.sync_client import Client
    from capsnet.client.transport import DEFAULT_SERVER
    from capsnet.errors import CapsnetError
    from capsnet.image_encoding import ImageInput, Png
    from capsnet.predictor import Predictor, load
    from capsnet.results import (
        Check,
        Classification,
        Digit,
        Explanation,
        Model,
        Prediction,
        Reading,
        Reconstruction,
        Sweep,
        Transformation,
        TransformedStep,
        VotesIteration,
    )

__all__ = [
    "DEFAULT_RETRIES",
    "DEFAULT_SERVER",
    "DEFAULT_TIMEOUT",
    "AsyncClient",
    "CapsnetError",
    "Check",
    "Classification",
    "Client",
    "Digit",
    "Explanation",
    "ImageInput",
    "Model",
    "Png",
    "Prediction",
    "Predictor",
    "Reading",
    "Reconstruction",
    "Sweep",
    "Transformation",
    "TransformedStep",
    "VotesIteration",
    "load",
]

_MODULES = {
    "DEFAULT_RETRIES": "client.retry",
    "DEFAULT_SERVER": "client.transport",
    "DEFAULT_TIMEOUT": "client.retry",
    "AsyncClient": "client.async_client",
    "CapsnetError": "errors",
    "Check": "results",
    "Classification": "results",
    "Client": "client.sync_client",
    "Digit": "results",
    "Explanation": "results",
    "Model": "results",
    "ImageInput": "image_encoding",
    "Png": "image_encoding",
    "Prediction": "results",
    "Predictor": "predictor",
    "Reading": "results",
    "Reconstruction": "results",
    "Sweep": "results",
    "Transformation": "results",
    "TransformedStep": "results",
    "VotesIteration": "results",
    "load": "predictor",
}


def __getattr__(name: str) -> Any:
    """Import a name from its module when it is first used."""
    try:
        module = importlib.import_module(f"capsnet.{_MODULES[name]}")
    except KeyError:
        raise AttributeError(f"module 'capsnet' has no attribute {name!r}") from None
    return getattr(module, name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
