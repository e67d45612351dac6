"""onnxruntime sessions of models in memory."""

import onnx
import onnxruntime

from hardedge import onnx_files


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model in onnxruntime on the CPU, without its warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session: onnxruntime.InferenceSession = onnx_files.session_of(model, options)
    return session
