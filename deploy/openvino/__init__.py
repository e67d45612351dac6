"""OpenVINO's compiled models: an ONNX file on an Intel CPU, GPU or NPU, in the precision that was asked for."""
