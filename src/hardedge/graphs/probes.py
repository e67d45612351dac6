"""Graphs with further outputs: the logits before the argmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardedge.graphs.files import copy_model
from hardedge.graphs.walking import add_output, last_argmax

if TYPE_CHECKING:
    import onnx


PROBE = "logits as floats"  # no exporter gives a value such a name


def with_logits_output(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with what its last argmax over axis 1 reads as one more output; None without such a node."""
    from onnx import TensorProto, helper

    argmax = last_argmax(model)
    if argmax is None or {attribute.name: attribute.i for attribute in argmax.attribute}.get("axis") != 1:
        return None
    model.graph.node.append(helper.make_node("Cast", [argmax.input[0]], [PROBE], to=TensorProto.FLOAT))
    add_output(model, PROBE, TensorProto.FLOAT)
    return model


def logits_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the logits as one more output; raises ValueError for a network without an argmax over its classes."""
    probe = with_logits_output(copy_model(model))
    if probe is None:
        raise ValueError("no node takes the argmax over the classes")
    return probe
