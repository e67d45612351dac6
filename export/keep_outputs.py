"""An ONNX graph cut down to the outputs that ship, with a list of what was only there for the others."""

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hardedge.artefact import disk_errors, require_free
from hardedge.contracts import Contract
from hardedge.errors import BadInput, faults_error
from hardedge.graphs.canonical import every_node, node_multiply_adds
from hardedge.graphs.cutting import cut_to_outputs
from hardedge.graphs.files import is_large, write_onnx
from hardedge.graphs.inlined import require_few_nodes
from hardedge.paths import StrPath, local_paths

SHOWN = 8
_OTHER_OPERATORS = (
    "A plugin of one runtime is not known to the others: write them with ONNX's own operators where the file is made, "
    "or keep an output that does not need them."
)
_OTHER_SIZE = "Give the --size (batch, height, width) that it takes, or mend the file."


@dataclass(frozen=True, kw_only=True)
class Kept(Contract):
    """What is left and what was removed; multiply-adds are those of an image of `size` (batch, height, width).

    Those that were removed are null where the whole file does not run in onnxruntime.
    """

    outputs: tuple[str, ...]
    removed_outputs: tuple[str, ...]
    removed_nodes: tuple[str, ...]
    removed_parameters: int
    removed_multiply_adds: int | None
    parameters: int
    multiply_adds: int
    size: tuple[int, int, int]


def keep_outputs(source: StrPath, names: tuple[str, ...], out: StrPath, size: tuple[int, int, int]) -> Kept:
    """Writes the graph that gives these outputs, without a node or weight that only the others needed.

    Without names the graph must have one output. Raises BadInput when the file is not valid ONNX, has no such output,
    or has several and none is named, with those there are; when what is kept has operators that ONNX does not have, or
    does not run at `size`; for weights above 2 GiB; and when `out` exists. Unavailable when the disk is full.
    """
    source, out = local_paths((source, out))
    require_free(out, None)
    model = _read(source)
    kept = tuple(dict.fromkeys(names)) or _only_output(model, source)
    there = [value.name for value in model.graph.output]
    unknown = [name for name in kept if name not in there]
    if unknown:
        raise BadInput(f"{source} has no output {', '.join(unknown)}. It has: {_names_text(model)}.")
    cut = _extract(model, kept, source)
    removed = _difference(model, cut, kept, size)
    with disk_errors():
        out.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(cut, out)
    return removed


def _read(source: Path) -> onnx.ModelProto:
    if not source.is_file():
        raise BadInput(f"{source} is no file. Give the path of an ONNX file.")
    try:
        model = onnx.load(source)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise BadInput(f"{source} is not a valid ONNX file: {error}. Export it again.") from error
    require_few_nodes(model, str(source))
    return model


def _only_output(model: onnx.ModelProto, source: Path) -> tuple[str, ...]:
    if len(model.graph.output) != 1:
        raise BadInput(f"{source} has several outputs: {_names_text(model)}. Name the logits: --keep NAME.")
    return (model.graph.output[0].name,)


def _names_text(model: onnx.ModelProto) -> str:
    makers = {output: f"{node.op_type} {node.name}".strip() for node in model.graph.node for output in node.output}
    return ", ".join(
        f"{value.name} [{','.join(dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)}]"
        f" of {makers.get(value.name, 'no node')}"
        for value in model.graph.output
    )


def _extract(model: onnx.ModelProto, outputs: tuple[str, ...], source: Path) -> onnx.ModelProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    cut = cut_to_outputs(model, inputs, outputs)
    cut.metadata_props.extend(model.metadata_props)
    if is_large(cut):
        raise BadInput(
            f"what is kept of {source} has weights above 2 GiB, which onnx's checker does not take in one piece. "
            "Leave the other outputs out where the file is made."
        )
    unknown = unknown_operators(cut)
    if unknown:
        raise faults_error(f"{source} has operators that ONNX does not have", unknown[:SHOWN], _OTHER_OPERATORS)
    try:
        onnx.checker.check_model(cut, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadInput(f"{source} is not a valid ONNX file: {error}. Export it again.") from error
    return cut


def unknown_operators(model: onnx.ModelProto) -> list[str]:
    """Every node, in words, whose operator is neither of the opset that the file names nor a function of its own."""
    opsets = {entry.domain if entry.domain != "ai.onnx" else "": entry.version for entry in model.opset_import}
    own = {(function.domain, function.name) for function in model.functions}
    found = []
    for node in every_node(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in own:
            continue
        try:
            onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
        except onnx.defs.SchemaError:
            place = f"node {node.name}" if node.name else f"the node that makes {node.output[0]}"
            found.append(f"{place}: {node.op_type} of {domain or 'ai.onnx'} opset {opsets.get(domain, 'unnamed')}")
    return found


def _difference(
    model: onnx.ModelProto, cut: onnx.ModelProto, outputs: tuple[str, ...], size: tuple[int, int, int]
) -> Kept:
    try:
        after = sum(count for _, count in node_multiply_adds(cut, size))
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise BadInput(f"the graph does not run at {'x'.join(map(str, size))}: {error}\n{_OTHER_SIZE}") from error
    try:
        before = sum(count for _, count in node_multiply_adds(model, size))
    except Exception:  # what is cut off may be what onnxruntime does not know
        before = None
    left = {tuple(node.output) for node in cut.graph.node}
    return Kept(
        outputs=outputs,
        removed_outputs=tuple(value.name for value in model.graph.output if value.name not in outputs),
        removed_nodes=tuple(node.name or node.output[0] for node in model.graph.node if tuple(node.output) not in left),
        removed_parameters=_parameters(model) - _parameters(cut),
        removed_multiply_adds=None if before is None else before - after,
        parameters=_parameters(cut),
        multiply_adds=after,
        size=size,
    )


def _parameters(model: onnx.ModelProto) -> int:
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type != tensor.INT64)


def kept_outputs_text(kept: Kept, out: Path) -> str:
    """What was removed, and what is left, as text."""
    nodes = ", ".join(kept.removed_nodes[:SHOWN])
    more = f" and {len(kept.removed_nodes) - SHOWN} more" if len(kept.removed_nodes) > SHOWN else ""
    size = "x".join(map(str, kept.size))
    removed = "unknown" if kept.removed_multiply_adds is None else f"{kept.removed_multiply_adds:,}"
    return (
        f"removed: outputs {', '.join(kept.removed_outputs) or 'none'}; {len(kept.removed_nodes)} nodes, "
        f"{kept.removed_parameters:,} parameters, {removed} multiply-adds at {size}\n"
        f"    {nodes}{more}\n"
        f"{out}: {', '.join(kept.outputs)}, {kept.parameters:,} parameters, {kept.multiply_adds:,} multiply-adds"
    )
