"""Graphs with further outputs: the logits before the argmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardedge.graphs.files import copy_model

if TYPE_CHECKING:
    import onnx


PROBE = "logits as floats"  # no exporter gives a value such a name


def with_logits_output(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with what its last argmax over axis 1 reads as one more output; None without such a node."""
    from onnx import TensorProto, helper

    found = [node for node in model.graph.node if node.op_type == "ArgMax"]
    axes = {attribute.name: attribute.i for node in found[-1:] for attribute in node.attribute}
    if axes.get("axis") != 1:
        return None
    model.graph.node.append(helper.make_node("Cast", [found[-1].input[0]], [PROBE], to=TensorProto.FLOAT))
    model.graph.output.append(helper.make_tensor_value_info(PROBE, TensorProto.FLOAT, None))
    return model


def logits_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the logits as one more output; raises ValueError for a network without an argmax over its classes."""
    probe = with_logits_output(copy_model(model))
    if probe is None:
        raise ValueError("no node takes the argmax over the classes")
    return probe
