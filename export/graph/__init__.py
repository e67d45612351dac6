"""From a network to one ONNX graph, pixels in and mask out, and its agreement with torch."""
