"""Run graphs on ONNX Runtime."""
