"""The service from Python: `Client`, its twin `AsyncClient`, and what they answer.

    from app.client import Client

    with Client("http://127.0.0.1:8000") as client:
        print(client.classify("seven.png").label)

Needs neither a model nor a runtime for one, and imports nothing of the service. docs/client.md shows every call.
"""

from app.client.asynchronous import AsyncClient
from app.client.errors import CapsnetError
from app.client.pictures import Picture, Png
from app.client.results import Check, Classification, Model, Prediction, Reconstruction, Sweep
from app.client.retry import DEFAULT_RETRIES, DEFAULT_TIMEOUT
from app.client.synchronous import Client
from app.client.transport import DEFAULT_SERVER

__all__ = [
    "DEFAULT_RETRIES",
    "DEFAULT_SERVER",
    "DEFAULT_TIMEOUT",
    "AsyncClient",
    "CapsnetError",
    "Check",
    "Classification",
    "Client",
    "Model",
    "Picture",
    "Png",
    "Prediction",
    "Reconstruction",
    "Sweep",
]
