"""Export and import of models: ONNX, safetensors, the hub, released checkpoints."""
