"""A finished run as one file for others: ONNX, or safetensors that say what they are; and those read."""
