"""ONNX files of other tools: recognised, run as given, and made into a bundle."""
