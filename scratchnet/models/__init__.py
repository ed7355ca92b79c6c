"""Networks in files: our own format, those of others, and ONNX."""
