"""The part of a graph that gives some of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hardedge.graphs.walking import inner_graphs, names_read

if TYPE_CHECKING:
    import onnx


def cut_to_outputs(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """A model with these inputs and outputs of the model's own, and no node, weight or function but what they need."""
    from onnx import helper

    graph = model.graph
    made_by = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needed: set[int] = set()
    read: set[str] = set()
    waiting = [*outputs]
    while waiting:
        name = waiting.pop()
        if name in read:
            continue
        read.add(name)
        place = None if name in inputs else made_by.get(name)
        if place is not None and place not in needed:
            needed.add(place)
            waiting += names_read(graph.node[place])
    nodes = [graph.node[place] for place in sorted(needed)]
    values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    made = {name for node in nodes for name in node.output} | read
    cut = helper.make_graph(
        nodes,
        graph.name,
        [values[name] for name in inputs],
        [values[name] for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in read],
        value_info=[value for name, value in values.items() if name in made and name not in (*inputs, *outputs)],
        sparse_initializer=[tensor for tensor in graph.sparse_initializer if tensor.values.name in read],
    )
    cut.quantization_annotation.extend(note for note in graph.quantization_annotation if note.tensor_name in made)
    return helper.make_model(
        cut, ir_version=model.ir_version, opset_imports=model.opset_import, functions=_called(model, nodes)
    )


def _called(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[onnx.FunctionProto]:
    """The model's functions that the nodes, the graphs inside them, or these functions call, in the model's order."""
    functions = {(each.domain, each.name): each for each in model.functions}
    called: set[tuple[str, str]] = set()
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        waiting += (inner for graph in inner_graphs(node) for inner in graph.node)
        key = (node.domain, node.op_type)
        if key in functions and key not in called:
            called.add(key)
            waiting += functions[key].node
    return [each for key, each in functions.items() if key in called]
