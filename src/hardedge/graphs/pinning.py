"""Nodes of a typed ONNX graph taken back to FP32: casts around them, quantisers before them left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from hardedge.graphs.element_types import CONVERSIONS, element_types, precision_of
from hardedge.graphs.walking import drop_unread, producers

if TYPE_CHECKING:
    import onnx


def pinning_candidates(model: onnx.ModelProto) -> dict[str, str]:
    """The precision of every named node that computes in less than FP32, in the graph's order."""
    types, made_by = element_types(model), producers(model)
    found = {node.name: precision_of(node, types, made_by) for node in model.graph.node if node.name}
    return {name: precision for name, precision in found.items() if precision not in (None, "fp32", "fp64")}


def pin_to_fp32(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy of the model in which these nodes compute in FP32 and give the types that they gave before.

    Between two of them values stay in FP32.
    """
    import onnx

    graph = _Pinned(model, names)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    for node in model.graph.node:
        copy.graph.node.extend(graph.in_fp32(node) if node.name in names else [node])
    copy.graph.initializer.extend(graph.weights)
    # kinds of values that are gone, or are of another type now
    copy.graph.ClearField("value_info")
    drop_unread(copy.graph, CONVERSIONS)
    return copy


class _Pinned:
    """The types and makers of a graph's values, and the FP32 weights that pinned nodes read."""

    def __init__(self, model: onnx.ModelProto, names: Collection[str]) -> None:
        self.names = names
        self.types, self.made_by = element_types(model), producers(model)
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.weights: list[onnx.TensorProto] = []
        self.given: set[str] = set()

    def in_fp32(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The node with its inputs cast to FP32, its outputs cast back."""
        from onnx import NodeProto, TensorProto, helper

        plain = NodeProto()
        plain.CopyFrom(node)
        for place, name in enumerate(node.input):
            source = self._unquantised(name)
            maker = self.made_by.get(source)
            if maker is not None and maker.name in self.names and self._narrow(source):
                plain.input[place] = f"{source} in fp32 still"  # unrounded between two pinned nodes
                continue
            changed = source != name or self._narrow(source) or self._dequantises(source)
            plain.input[place] = f"{source} in fp32" if changed else source
            yield from self._cast(source, plain.input[place])
        for place, name in enumerate(node.output):
            if self._narrow(name):
                plain.output[place] = f"{name} in fp32 still"
        yield plain
        for name, made in zip(node.output, plain.output, strict=True):
            if name != made:
                yield helper.make_node("Cast", [made], [name], to=self.types.get(name, TensorProto.FLOAT))

    def _cast(self, source: str, wanted: str) -> Iterator[onnx.NodeProto]:
        from onnx import TensorProto, helper

        if wanted == source or wanted in self.given:
            return
        self.given.add(wanted)
        if source in self.stored:
            self.weights.append(_as_floats(self.stored[source], wanted))
        elif self._dequantises(source):
            self.weights.append(self._dequantised(self.made_by[source], wanted))
        else:
            yield helper.make_node("Cast", [source], [wanted], to=TensorProto.FLOAT)

    def _dequantises(self, name: str) -> bool:
        """Whether the value is a weight that is stored quantised."""
        node = self.made_by.get(name)
        return node is not None and node.op_type == "DequantizeLinear" and node.input[0] in self.stored

    def _narrow(self, name: str) -> bool:
        from onnx import TensorProto

        return self.types.get(name) in (TensorProto.FLOAT16, TensorProto.BFLOAT16)

    def _unquantised(self, name: str) -> str:
        """What was quantised or narrowed to give this value; the value itself where it was not, or is a weight."""
        from onnx import TensorProto

        dequantise = self.made_by.get(name)
        if dequantise is None or dequantise.op_type not in ("DequantizeLinear", "Cast"):
            return name
        if dequantise.op_type == "Cast":
            narrowed = self._narrow(name) and self.types.get(dequantise.input[0]) == TensorProto.FLOAT
            return dequantise.input[0] if narrowed else name
        quantise = self.made_by.get(dequantise.input[0])
        return quantise.input[0] if quantise is not None and quantise.op_type == "QuantizeLinear" else name

    def _dequantised(self, node: onnx.NodeProto, name: str) -> onnx.TensorProto:
        """A stored weight's values: (quantised - zero point) * scale."""
        import numpy as np
        from onnx import numpy_helper

        values, scale, *zero = (
            numpy_helper.to_array(self.stored[part]).astype(np.float32) for part in node.input if part
        )
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        along = [-1 if place == axis % max(values.ndim, 1) else 1 for place in range(values.ndim)]
        scale, *zero = (part.reshape(along if part.size > 1 else ()) for part in (scale, *zero))
        shifted = values - zero[0] if zero else values
        return numpy_helper.from_array(np.asarray(shifted * scale, np.float32), name)


def _as_floats(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), name)
