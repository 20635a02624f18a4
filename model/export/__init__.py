"""Export to ONNX, make variants, and restore to PyTorch."""
