"""The largest values of a network's float tensors on real images: what decides whether FP16 can hold them."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hardedge.data.decoding import Pixels
from hardedge.graphs.element_types import element_types
from hardedge.graphs.files import copy_model, open_session
from hardedge.graphs.walking import add_output


def largest_magnitudes(model: onnx.ModelProto, images: Iterable[Pixels]) -> dict[str, float]:
    """The largest magnitude of every float tensor that a node makes, over images uint8 [H, W, 3] of any size.

    The maxima are taken inside the graph, so that no tensor is kept. NaN where a tensor is not finite.
    """
    types = element_types(model)
    names = [name for node in model.graph.node for name in node.output if types.get(name) == TensorProto.FLOAT]
    session = open_session(_with_maxima(model, names))
    largest = np.zeros(len(names))
    for image_HWC in images:
        largest = np.maximum(largest, np.array(session.run(None, {"image": image_HWC[None]}), np.float64))
    return dict(zip(names, largest.tolist(), strict=True))


def largest_weights(model: onnx.ModelProto) -> dict[str, float]:
    """The largest magnitude of every float weight."""
    weights = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in model.graph.initializer)
    return {name: float(np.abs(value).max(initial=0)) for name, value in weights if value.dtype == np.float32}


def _with_maxima(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    probe = copy_model(model)
    del probe.graph.output[:]
    for number, name in enumerate(names):
        magnitude, largest = f"magnitude of {number}", f"largest of {number}"
        probe.graph.node.append(helper.make_node("Abs", [name], [magnitude]))
        probe.graph.node.append(helper.make_node("ReduceMax", [magnitude], [largest], keepdims=0))
        add_output(probe, largest, TensorProto.FLOAT, [])
    return probe
