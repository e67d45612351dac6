"""ONNX graphs: files, canonical form, element types, probes, pinned and rounded nodes."""
