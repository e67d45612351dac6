"""How many nodes an ONNX file is once its functions are written out: a few bytes can call for millions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from hardedge.errors import BadInput

if TYPE_CHECKING:
    import onnx

MOST_NODES: Final = 200_000  # the largest of our networks has 3,000
DEEPEST: Final = 50  # functions that call functions

Key = tuple[str, str, str]


def require_few_nodes(model: onnx.ModelProto, name: str) -> None:
    """Raises BadInput for a file of more than MOST_NODES nodes, each call of a function counted with all of its own."""
    functions = {(each.domain, each.name, each.overload): each for each in model.functions}
    counts: dict[Key, int] = {}

    def count(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > DEEPEST:
            raise BadInput(f"{name}: its functions call each other in a circle, or more than {DEEPEST} deep.")
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in functions and key not in counts:
                counts[key] = count(functions[key].node, depth + 1)
            total += counts.get(key, 1) + sum(count(graph.node, depth + 1) for graph in _graphs(node))
        return total

    found = count(model.graph.node, 0)
    if found > MOST_NODES:
        raise BadInput(f"{name}: {found} nodes once its functions are written out, expected at most {MOST_NODES}.")


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g
