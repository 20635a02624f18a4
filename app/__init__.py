"""The service: capsule networks over HTTP. It never imports PyTorch, and runs where that is not installed."""

from capsnet import __version__

__all__ = ["__version__"]
