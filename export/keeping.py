"""An ONNX graph cut down to the outputs that ship, with a list of what was only there for the others."""

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx.utils import Extractor

from hardedge.canonical import node_multiply_adds
from hardedge.contracts import Contract, write_atomically
from hardedge.errors import BadInput
from hardedge.export.identity import read_onnx

SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Kept(Contract):
    """What is left and what was removed; multiply-adds are those of an image of `size` (batch, height, width)."""

    outputs: tuple[str, ...]
    removed_outputs: tuple[str, ...]
    removed_nodes: tuple[str, ...]
    removed_parameters: int
    removed_multiply_adds: int
    parameters: int
    multiply_adds: int
    size: tuple[int, int, int]


def keep_outputs(source: Path, names: tuple[str, ...], out: Path, size: tuple[int, int, int]) -> Kept:
    """Writes the graph that gives these outputs, without a node or weight that only the others needed.

    Without names the graph must have one output. Raises BadInput when the file is not valid ONNX, has no such output,
    or has several and none is named, with those there are; and when `out` exists.
    """
    if out.exists():
        raise BadInput(f"{out} exists. Give another --out.")
    model = read_onnx(source)
    kept = names or _only_output(model, source)
    there = [value.name for value in model.graph.output]
    unknown = [name for name in kept if name not in there]
    if unknown:
        raise BadInput(f"{source} has no output {', '.join(unknown)}. It has: {_listing(model)}.")
    cut = _cut(model, kept)
    write_atomically(out, cut.SerializeToString(deterministic=True))
    return _difference(model, cut, kept, size)


def _only_output(model: onnx.ModelProto, source: Path) -> tuple[str, ...]:
    if len(model.graph.output) != 1:
        raise BadInput(f"{source} has several outputs: {_listing(model)}. Name the logits: --keep NAME.")
    return (model.graph.output[0].name,)


def _listing(model: onnx.ModelProto) -> str:
    return ", ".join(
        f"{value.name} [{','.join(dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)}]"
        for value in model.graph.output
    )


def _cut(model: onnx.ModelProto, outputs: tuple[str, ...]) -> onnx.ModelProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    cut: onnx.ModelProto = Extractor(model).extract_model(inputs, list(outputs))
    cut.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(cut, full_check=True)
    return cut


def _difference(
    model: onnx.ModelProto, cut: onnx.ModelProto, outputs: tuple[str, ...], size: tuple[int, int, int]
) -> Kept:
    before, after = (sum(count for _, count in node_multiply_adds(one, size)) for one in (model, cut))
    left = {tuple(node.output) for node in cut.graph.node}
    return Kept(
        outputs=outputs,
        removed_outputs=tuple(value.name for value in model.graph.output if value.name not in outputs),
        removed_nodes=tuple(node.name or node.output[0] for node in model.graph.node if tuple(node.output) not in left),
        removed_parameters=_parameters(model) - _parameters(cut),
        removed_multiply_adds=before - after,
        parameters=_parameters(cut),
        multiply_adds=after,
        size=size,
    )


def _parameters(model: onnx.ModelProto) -> int:
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type != tensor.INT64)


def described(kept: Kept, out: Path) -> str:
    """What was removed, and what is left, as text."""
    nodes = ", ".join(kept.removed_nodes[:SHOWN])
    more = f" and {len(kept.removed_nodes) - SHOWN} more" if len(kept.removed_nodes) > SHOWN else ""
    size = "x".join(map(str, kept.size))
    return (
        f"removed: outputs {', '.join(kept.removed_outputs) or 'none'}; {len(kept.removed_nodes)} nodes, "
        f"{kept.removed_parameters:,} parameters, {kept.removed_multiply_adds:,} multiply-adds at {size}\n"
        f"    {nodes}{more}\n"
        f"{out}: {', '.join(kept.outputs)}, {kept.parameters:,} parameters, {kept.multiply_adds:,} multiply-adds"
    )
