"""What a graph for TensorRT may hold: the rules of NVIDIA's parser for types and for QuantizeLinear/DequantizeLinear.

The one place that says so: every converted file passes it, and so must a graph from quantisation-aware training.
Sources: docs/operators.md of onnx/onnx-tensorrt (TensorRT 10.15), TensorRT's guide to quantised types, its release
notes (DFT from 11.2.1 on), and what TensorRT-RTX 1.7 refused here (docs/precision.md). What a builder takes and gets
wrong is in hardedge.graphs.builder_rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from hardedge.errors import BadInput, faults_error
from hardedge.graphs.builder_rules import require_rightly_built
from hardedge.graphs.element_types import QUANTISED, Types, element_types
from hardedge.graphs.walking import producers

# marked N in that document
# fmt: off
UNSUPPORTED = frozenset(
    {
        "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
        "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "ConvInteger", "Det",
        "DynamicQuantizeLinear", "ImageDecoder", "MatMulInteger", "MaxRoiPool", "MaxUnpool", "Optional",
        "OptionalGetElement", "OptionalHasElement", "QLinearConv", "QLinearMatMul", "SequenceAt",
        "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap",
        "SplitToSequence", "StringNormalizer", "Unique",
    }
)
# fmt: on
# the document lists both as supported; TensorRT-RTX 1.7.1 refuses them in BF16 (tests/export/test_precision.py)
NOT_IN_BF16 = ("ConvTranspose", "HardSwish")
# attributes that the same builder refuses (benchmarks/ignored_attributes.py)
REFUSED = (
    ("Resize", "antialias", (0,)),
    ("Resize", "keep_aspect_ratio_policy", (b"stretch",)),
    (
        "Resize",
        "coordinate_transformation_mode",
        (b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric", b"align_corners"),
    ),
    ("ScatterND", "reduction", (b"none",)),
)
SHOWN = 8
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class LegalityFinding:
    """A rule that a node, or a weight, breaks: its name, its operator, and what is wrong."""

    name: str
    operator: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}): {self.problem}"


@dataclass(frozen=True)
class _Graph:
    graph: onnx.GraphProto
    types: Types
    made_by: dict[str, onnx.NodeProto]
    weights: dict[str, onnx.TensorProto]


def legality_findings(model: onnx.ModelProto) -> list[LegalityFinding]:
    """Everything in the model that NVIDIA's parser is known to refuse; empty for a legal graph."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    graph = _Graph(model.graph, element_types(model), producers(model), weights)
    found = [problem for node in model.graph.node for problem in _node_findings(node, graph)]
    found += [LegalityFinding(name, "weight", "float64") for name, kind in _of_type(weights, TensorProto.DOUBLE)]
    return found


def require_legal(model: onnx.ModelProto, precision: str, sources: Mapping[str, str]) -> None:
    """Raises BadInput with every finding, and when onnx itself refuses the model.

    `precision` and the nodes' names in the file that was converted (`sources`) are for the message.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadInput(
            f"{precision}: the converted file is no valid ONNX ({error}). Leave this precision out."
        ) from None
    require_rightly_built(model, precision)
    found = [_problem_text(finding, sources) for finding in legality_findings(model)]
    if found:
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise faults_error(
            f"{precision}: NVIDIA's parser would refuse the converted file",
            found[:SHOWN] + more,
            "Leave this precision out, or change what the network does there.",
        )


def _problem_text(finding: LegalityFinding, sources: Mapping[str, str]) -> str:
    source = sources.get(finding.name)
    return f"{finding} ({source} of model.onnx)" if source else str(finding)


def _of_type(weights: dict[str, onnx.TensorProto], kind: int) -> list[tuple[str, int]]:
    return [(name, tensor.data_type) for name, tensor in weights.items() if tensor.data_type == kind]


def _node_findings(node: onnx.NodeProto, graph: _Graph) -> Iterator[LegalityFinding]:
    problems = [*_operator_problems(node), *_type_problems(node, graph)]
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        problems += _scale_problems(node, graph)
    if node.op_type in WEIGHTED:
        problems += _weighted_problems(node, graph)
    return (LegalityFinding(node.name, node.op_type, problem) for problem in problems)


def _operator_problems(node: onnx.NodeProto) -> Iterator[str]:
    if node.domain not in ("", "ai.onnx"):
        yield f"an operator of the domain {node.domain}, which TensorRT does not know"
    elif node.op_type in UNSUPPORTED:
        yield "an operator that TensorRT does not have"
    for operator, name, allowed in REFUSED:
        if node.op_type == operator and (value := _attribute(node, name)) is not None and value not in allowed:
            shown = value.decode() if isinstance(value, bytes) else value
            yield f"has {name} {shown}, which TensorRT does not take"


def _attribute(node: onnx.NodeProto, name: str) -> object:
    found = (onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name)
    return next(found, None)


def _type_problems(node: onnx.NodeProto, graph: _Graph) -> Iterator[str]:
    reads = [graph.types.get(name) for name in node.input if name]
    makes = [graph.types.get(name) for name in node.output if name]
    if TensorProto.DOUBLE in makes:
        yield "computes in float64"
    # Shape reads no pixel
    if TensorProto.UINT8 in reads and node.op_type not in ("Cast", "Shape"):
        yield "reads uint8, which TensorRT takes as an input's type only: cast first"
    if TensorProto.UINT8 in makes and not set(node.output) <= {value.name for value in graph.graph.output}:
        yield "makes uint8 inside the graph, which TensorRT takes as an output's type only"
    elif TensorProto.UINT8 in makes and not set(reads) <= {TensorProto.FLOAT, TensorProto.FLOAT16}:
        yield "casts to uint8 from another type than float32 or float16"
    if node.op_type in NOT_IN_BF16 and TensorProto.BFLOAT16 in reads:
        yield "has no BF16 form in TensorRT-RTX"


def _scale_problems(node: onnx.NodeProto, graph: _Graph) -> Iterator[str]:
    kind = graph.types.get(node.output[0] if node.op_type == "QuantizeLinear" else node.input[0])
    if kind == TensorProto.INT32:
        return  # a quantised bias: told of the node that adds it
    if kind not in QUANTISED:
        yield f"quantises to {TensorProto.DataType.Name(kind or 0)}, expected INT8 or FLOAT8E4M3FN"
    zero = graph.weights.get(node.input[2]) if len(node.input) > 2 else None
    if zero is not None and np.any(numpy_helper.to_array(zero).astype(np.float32) != 0):
        yield "has a zero point that is not 0"
    scale = graph.weights.get(node.input[1])
    if scale is None:
        yield "has a scale that is no constant"
        return
    values = numpy_helper.to_array(scale).astype(np.float64)
    if not np.all(np.isfinite(values) & (values > 0)):
        yield f"has a scale of {values.min():.3g}"
    if values.size > 1 and _source(node, graph) not in graph.weights:
        yield f"has {values.size} scales for one activation, expected one"


def _weighted_problems(node: onnx.NodeProto, graph: _Graph) -> Iterator[str]:
    bias = graph.made_by.get(node.input[2]) if len(node.input) > 2 else None
    if bias is not None and bias.op_type == "DequantizeLinear":
        yield "has a quantised bias"
    weight = graph.made_by.get(node.input[1])
    if weight is None or weight.op_type != "DequantizeLinear" or _source(weight, graph) not in graph.weights:
        return
    # of the stored weight: a Transpose between it and the node does not change which axis was quantised
    channels = graph.weights[_source(weight, graph)].dims
    scales = int(np.prod(graph.weights[weight.input[1]].dims)) if weight.input[1] in graph.weights else 0
    if scales == 1 and max(channels) > 1 and node.op_type in ("Conv", "ConvTranspose"):
        yield "has one scale for all channels of its weight, expected one a channel"


def _source(node: onnx.NodeProto, graph: _Graph) -> str:
    """What is quantised: the value in front of a DequantizeLinear and its QuantizeLinear."""
    before = graph.made_by.get(node.input[0])
    if node.op_type == "DequantizeLinear" and before is not None and before.op_type == "QuantizeLinear":
        return str(before.input[0])
    return str(node.input[0])
