"""onnxruntime sessions of models in memory."""

import onnx
import onnxruntime


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model in onnxruntime on the CPU, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
