"""The end of a graph as onnxruntime's CPU kernels like it: logits resized and compared with their classes side by side.

With channels last, a pixel's classes are neighbours in memory: the resize works on vectors, the argmax reads in order.
The values are the same; the file stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardedge.graphs.files import copy_model
from hardedge.graphs.walking import readers

if TYPE_CHECKING:
    import onnx

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)
# what Resize's attributes must be, where they are given
_LINEAR = {"mode": b"linear", "antialias": 0, "exclude_outside": 0, "axes": None}


def with_channels_last_answer(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the resize in front of its argmax over channels computed in [B, H, W, C].

    The model itself where its answer is not the argmax over the channels of a linear resize that nothing else reads.
    """
    found = _resize_of_the_answer(model.graph)
    if found is None:
        return model
    model = copy_model(model)
    nodes = list(model.graph.node)
    nodes[found : found + 1] = _channels_last(model.graph, nodes[found])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _resize_of_the_answer(graph: onnx.GraphProto) -> int | None:
    """The place of the resize among the nodes; None without one that can be turned."""
    places = {output: place for place, node in enumerate(graph.node) for output in node.output}
    for node in graph.node:
        if node.op_type != "ArgMax" or _attributes(node).get("axis", 0) != 1:
            continue
        place = places.get(node.input[0])
        if place is not None and _can_be_turned(graph, graph.node[place]):
            return place
    return None


def _can_be_turned(graph: onnx.GraphProto, resize: onnx.NodeProto) -> bool:
    if resize.op_type != "Resize" or any(resize.input[1:2]) or sum(map(bool, resize.input[2:])) != 1:
        return False
    attributes = _attributes(resize)
    linear = all(attributes.get(name) == value for name, value in _LINEAR.items())
    shown = any(output.name == resize.output[0] for output in graph.output)
    return linear and len(readers(graph, resize.output[0])) == 1 and not shown


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    import onnx.helper

    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {"antialias": 0, "exclude_outside": 0} | given


def _channels_last(graph: onnx.GraphProto, resize: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes that stand for the resize, and in the graph the order of axes that they need.

    onnxruntime takes the last transposition through the argmax.
    """
    import onnx.helper

    name = f"{resize.output[0]}_channels_last"
    order = onnx.helper.make_tensor(f"{name}_order", onnx.TensorProto.INT64, [4], TO_LAST)
    graph.initializer.append(order)
    turned = onnx.NodeProto()
    turned.CopyFrom(resize)
    place = next(place for place in (2, 3) if resize.input[place : place + 1] not in ([], [""]))
    turned.input[0] = f"{name}_input"
    turned.input[place] = f"{name}_sizes"
    turned.output[0] = name
    return [
        onnx.helper.make_node("Transpose", [resize.input[0]], [f"{name}_input"], perm=TO_LAST),
        onnx.helper.make_node("Gather", [resize.input[place], order.name], [f"{name}_sizes"], axis=0),
        turned,
        onnx.helper.make_node("Transpose", [name], [resize.output[0]], perm=TO_FIRST),
    ]
