"""Graphs between INT8 and FP16: the quantised graph with some of its nodes taken back to FP16."""

from collections.abc import Collection

import onnx

from hardedge.graphs.walking import drop_unread, producers


def quantised_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that read a quantised value: each can go back to FP16 alone. One that only reads a size is none."""
    made_by = producers(model)
    return [
        node
        for node in model.graph.node
        if node.op_type != "Shape" and any(_dequantiser(name, made_by) is not None for name in node.input)
    ]


def partly_quantised(model: onnx.ModelProto, quantised: Collection[str]) -> onnx.ModelProto:
    """The quantised graph in which the named nodes alone read quantised values; scales and weights stay as they are."""
    made_by = producers(model)
    mixed = onnx.ModelProto()
    mixed.CopyFrom(model)
    for node in mixed.graph.node:
        if node.name in quantised:
            continue
        for index, name in enumerate(node.input):
            dequantiser = _dequantiser(name, made_by)
            if dequantiser is not None:
                node.input[index] = made_by[dequantiser.input[0]].input[0]
    drop_unread(mixed.graph, ("QuantizeLinear", "DequantizeLinear"))
    return mixed


def _dequantiser(name: str, made_by: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    node = made_by.get(name)
    return node if node is not None and node.op_type == "DequantizeLinear" and node.input[0] in made_by else None
