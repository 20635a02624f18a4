"""The functions of `capsnet.png`, under the name that this package imports."""

from capsnet.png import png, sheet

__all__ = ["png", "sheet"]
