"""Networks in files: our own format, other formats, and ONNX."""
