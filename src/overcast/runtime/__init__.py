"""Fast ways to run a deployable network on tiles of one shape: torch.compile, ONNX Runtime, OpenVINO."""
