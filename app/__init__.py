"""The service: capsule networks over HTTP. Never imports PyTorch, and runs where it is not installed."""

import os

__version__ = "0.1.0"

# ONNX Runtime reports its use to its makers unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
