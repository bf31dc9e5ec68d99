"""Models to and from other programs: ONNX, safetensors, the hub, released checkpoints."""
