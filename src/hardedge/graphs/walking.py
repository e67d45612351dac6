"""Walking a graph: who makes a value, who reads it; outputs added, and what nobody reads dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each value of the main graph."""
    return {name: node for node in model.graph.node for name in node.output if name}


def readers(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
    """The nodes that read a value, or have a graph inside that does."""
    return [node for node in graph.node if value and value in names_read(node)]


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node, of an If, a Loop or a Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def names_read(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads: its inputs, and those that the graphs inside it take from outside."""
    read = {name for name in node.input if name}
    for graph in inner_graphs(node):
        read |= _read_from_outside(graph)
    return read


def _read_from_outside(graph: onnx.GraphProto) -> set[str]:
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made |= {tensor.values.name for tensor in graph.sparse_initializer}
    made |= {name for node in graph.node for name in node.output}
    read = {value.name for value in graph.output}
    for node in graph.node:
        read |= names_read(node)
    return read - made


def last_argmax(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """The node that makes classes of scores; None without one."""
    found = [node for node in model.graph.node if node.op_type == "ArgMax"]
    return found[-1] if found else None


def add_output(model: onnx.ModelProto, value: str, kind: int, shape: list[int] | None = None) -> None:
    """Makes a value an output, of an element type; without a shape it may have any."""
    from onnx import helper

    model.graph.output.append(helper.make_tensor_value_info(value, kind, shape))


def drop_unread(graph: onnx.GraphProto, operators: Collection[str]) -> None:
    """Takes out nodes of these operators that nothing reads, and the weights that are read no more."""
    outputs = {value.name for value in graph.output}
    while True:
        read = outputs | {name for node in graph.node for name in names_read(node)}
        idle = [node for node in graph.node if node.op_type in operators and not read & set(node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
