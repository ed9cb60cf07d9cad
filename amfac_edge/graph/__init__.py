"""torch -> ONNX -> simplified -> contract and parity checked."""
