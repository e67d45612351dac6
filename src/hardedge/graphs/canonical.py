"""ONNX in canonical form: what a graph computes, without the names and notes of how it was made. No torch here."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from hardedge.contracts import Complexity
from hardedge.graphs.files import copy_model, is_large, open_session, without_weights
from hardedge.graphs.walking import add_output

if TYPE_CHECKING:
    import onnx

    Shapes = Mapping[str, tuple[int, ...]]

INPUT_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def canonical_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with metadata, doc strings and value infos stripped and everything but inputs and outputs renumbered.

    Values are numbered in the order in which nodes use and make them, nodes in their order, attributes and operator
    sets sorted. Nothing is pruned or folded: an unused weight and an idle node stay, and change the digest.
    """
    import onnx.inliner

    plain = onnx.inliner.inline_local_functions(model) if model.functions else copy_model(model)
    for field in ("metadata_props", "doc_string", "producer_name", "producer_version", "domain", "model_version"):
        plain.ClearField(field)
    plain.opset_import.sort(key=lambda entry: entry.domain)
    names = Names(reserved={value.name for value in (*plain.graph.input, *plain.graph.output)})
    _normalise_graph(plain.graph, names)
    return plain


def onnx_digest(model: onnx.ModelProto) -> str:
    """The sha256 of the canonical form: equal for graphs that differ in names and metadata only.

    Of a model above protobuf's 2 GiB, with each weight's sha256 in place of its bytes.
    """
    plain = canonical_form(model)
    hashed = without_weights(plain) if is_large(plain) else plain
    return hashlib.sha256(hashed.SerializeToString(deterministic=True)).hexdigest()


class Names:
    """Numbers given to names at first sight: `v0`, `v1`, ... for values, `n0`, ... for nodes."""

    def __init__(self, reserved: set[str]) -> None:
        self.given = {name: name for name in reserved}
        self.order = {name: -1 for name in reserved}
        self.values = (name for name in (f"v{number}" for number in count()) if name not in reserved)
        self.nodes = (f"n{number}" for number in count())

    def of_value(self, name: str) -> str:
        """A value's number; the empty name, an operator's absent input, stays."""
        if not name:
            return ""
        if name not in self.given:
            self.given[name] = next(self.values)
            self.order[self.given[name]] = len(self.order)
        return self.given[name]


def _normalise_graph(graph: onnx.GraphProto, names: Names) -> None:
    graph.name = "graph"
    for field in ("doc_string", "value_info", "metadata_props"):
        graph.ClearField(field)
    for node in graph.node:
        _normalise_node(node, names)
    for tensor in graph.initializer:
        _normalise_tensor(tensor, names)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.of_value(sparse.values.name)
    # by number: an exporter's order of weights follows their names. An unused weight was numbered last
    graph.initializer.sort(key=lambda tensor: names.order[tensor.name])
    for value in (*graph.input, *graph.output):
        value.name = names.of_value(value.name)
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    for note in graph.quantization_annotation:
        note.tensor_name = names.of_value(note.tensor_name)
        for entry in note.quant_parameter_tensor_names:
            entry.value = names.of_value(entry.value)


def _normalise_node(node: onnx.NodeProto, names: Names) -> None:
    node.name = next(names.nodes)
    for field in ("doc_string", "metadata_props"):
        node.ClearField(field)
    node.input[:] = [names.of_value(name) for name in node.input]
    node.attribute.sort(key=lambda attribute: attribute.name)
    for attribute in node.attribute:
        attribute.ClearField("doc_string")
        for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            _normalise_graph(graph, names)
        for tensor in (*((attribute.t,) if attribute.HasField("t") else ()), *attribute.tensors):
            tensor.ClearField("name")
            tensor.ClearField("doc_string")
            tensor.ClearField("metadata_props")
    node.output[:] = [names.of_value(name) for name in node.output]


def _normalise_tensor(tensor: onnx.TensorProto, names: Names) -> None:
    import onnx.numpy_helper

    if not tensor.HasField("raw_data") and tensor.data_type != onnx.TensorProto.STRING:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    tensor.name = names.of_value(tensor.name)
    tensor.ClearField("doc_string")
    tensor.ClearField("metadata_props")


def complexity_of(model: onnx.ModelProto, size: tuple[int, int, int], multiply_adds: int | None = None) -> Complexity:
    """What the graph is made of; multiply-adds of Conv, ConvTranspose, Gemm and MatMul for (batch, height, width).

    Parameters are the elements of all initializers but int64 ones (shapes and axes), used or not. `multiply_adds` are
    those of a graph that onnxruntime cannot run, counted elsewhere.
    """
    operators = Counter(node.op_type for node in every_node(model.graph))
    return Complexity(
        parameters=sum(math.prod(t.dims) for t in model.graph.initializer if t.data_type != t.INT64),
        multiply_adds=_total(model, size) if multiply_adds is None else multiply_adds,
        nodes=operators.total(),
        operators=dict(sorted(operators.items())),
        inputs=tuple(value_text(value) for value in model.graph.input),
        outputs=tuple(value_text(value) for value in model.graph.output),
    )


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from every_node(inner)


def value_text(value: onnx.ValueInfoProto) -> str:
    """A graph input or output in words: `image uint8 [batch,height,width,3]`."""
    import onnx.helper

    tensor = value.type.tensor_type
    dims = ",".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{value.name} {onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)} [{dims}]"


def multiply_adds(model: onnx.ModelProto, size: tuple[int, int, int]) -> int:
    """The multiply-adds of the main graph for one image input of (batch, height, width); channels first or last."""
    return _total(model, size)


def _total(model: onnx.ModelProto, size: tuple[int, int, int]) -> int:
    return sum(count for _, count in node_multiply_adds(model, size))


def node_multiply_adds(model: onnx.ModelProto, size: tuple[int, int, int]) -> list[tuple[onnx.NodeProto, int]]:
    """The multiply-adds of each Conv, ConvTranspose, Gemm and MatMul of the main graph, as multiply_adds sums them.

    Shapes are those of one run in onnxruntime: shape inference loses them behind sizes that the graph computes.
    """
    counted = [node for node in model.graph.node if node.op_type in COUNTED]
    shapes = _shapes(model, sorted({name for node in counted for name in (*node.input[:2], node.output[0])}), size)
    return [
        (node, _multiply_adds(node, [shapes[name] for name in (*node.input[:2], node.output[0])])) for node in counted
    ]


def _multiply_adds(node: onnx.NodeProto, shapes: list[tuple[int, ...]]) -> int:
    data, weight, out = shapes
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(data) * math.prod(weight[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(out) * data[0 if transposed else -1]


def _shapes(model: onnx.ModelProto, names: list[str], size: tuple[int, int, int]) -> Shapes:
    from onnx import TensorProto, helper

    probe = copy_model(model)
    del probe.graph.output[:]
    for number, name in enumerate(names):
        probe.graph.node.append(helper.make_node("Shape", [name], [f"shape of {number}"]))
        add_output(probe, f"shape of {number}", TensorProto.INT64)
    if not names:
        return {}
    # fusions would move quantisers past a MaxPool, which onnxruntime does not have in FP8
    session = open_session(probe, fused=False)
    image = session.get_inputs()[0]
    found = session.run(None, {image.name: np.zeros(_image_shape(image.shape, size), INPUT_TYPES[image.type])})
    return {name: tuple(shape.tolist()) for name, shape in zip(names, found, strict=True)}


def _image_shape(dims: Sequence[int | str | None], size: tuple[int, int, int]) -> tuple[int, ...]:
    """The image's shape, channels first where the second dimension is 3; sizes that the graph fixes stay."""
    batch, height, width = size
    shape = (batch, 3, height, width) if dims[1] == 3 else (batch, height, width, 3)
    return tuple(dim if isinstance(dim, int) else wanted for dim, wanted in zip(dims, shape, strict=True))
