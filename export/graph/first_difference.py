"""Where the exported graph leaves torch: the first of its nodes whose output is not what torch computes there."""

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper

from hardedge.data.decoding import Pixels
from hardedge.export.graph.form import Form
from hardedge.export.graph.pixels_to_mask import PixelsToMask, exporter_silenced, shipped_module, trace_program
from hardedge.graphs.canonical import canonical_form
from hardedge.graphs.files import copy_model, open_session

# of the largest value that the node gives: float32 sums in another order differ by 3e-4 at most
TOLERANCE = 2e-3
Values = npt.NDArray[np.float32]


class _Recorder(torch.fx.Interpreter):
    """Runs torch's graph and keeps the floats that each of its nodes gives, by the node's name."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[str, Values] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        # classes and masks are left out: where two are as good as tied, they may differ
        if n.op == "call_function" and isinstance(result, torch.Tensor) and result.dtype == torch.float32:
            self.found[n.name] = result.numpy()
        return result


def first_difference(model: onnx.ModelProto, network: PixelsToMask, form: Form, images_BHWC: Pixels) -> str | None:
    """The first node of the model, in words, whose output differs from torch's on these images; None without one.

    The network is traced again, for torch's graph with its names: values of one name are compared.
    """
    with exporter_silenced(), torch.inference_mode():
        program = trace_program(shipped_module(network, form.outputs), form.hull(), form.outputs, form.opset)
        assert program.exported_program is not None
        recorder = _Recorder(program.exported_program.module())
        recorder.run(torch.from_numpy(images_BHWC.copy()))
    pairs = list(_pairs(model, program.model_proto, recorder.found))
    found = _outputs(model, [node.output[0] for node, _ in pairs], images_BHWC)
    for (node, theirs), ours in zip(pairs, found, strict=True):
        expected = recorder.found[theirs.output[0]]
        fault = _fault(ours, expected)
        if fault:
            return f"{node.name}, {node.op_type} ({_origin(theirs)}): {fault}"
    return None


def _pairs(
    model: onnx.ModelProto, raw: onnx.ModelProto, known: dict[str, Values]
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Each node of the model with the exporter's own, where torch's graph has a value of its output's name."""
    inlined = onnx.inliner.inline_local_functions(raw) if raw.functions else raw
    same = [node.op_type for node in canonical_form(raw).graph.node] == [node.op_type for node in model.graph.node]
    for node, theirs in zip(model.graph.node, inlined.graph.node, strict=False):
        if same and theirs.output[0] in known:
            yield node, theirs


def _outputs(model: onnx.ModelProto, names: list[str], images_BHWC: Pixels) -> list[Values]:
    probe = copy_model(model)
    there = {value.name for value in model.graph.output}
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in there
    )
    found: list[Values] = open_session(probe).run(names, {"image": images_BHWC}) if names else []
    return found


def _fault(ours: Values, expected: Values) -> str | None:
    if ours.shape != expected.shape:
        return f"its output is {list(ours.shape)}, torch's {list(expected.shape)}"
    difference, largest = float(np.abs(ours - expected).max()), float(np.abs(expected).max())
    return None if difference <= TOLERANCE * largest else f"differs by up to {difference:.3g}, of {largest:.3g}"


def _origin(node: onnx.NodeProto) -> str:
    """The sub-module and torch's operation that a node was made of."""
    facts = {entry.key: entry.value for entry in node.metadata_props}
    scopes = [scope for scope in ast.literal_eval(facts.get("pkg.torch.onnx.name_scopes", "[]")) if scope]
    return " in ".join(reversed(scopes[-2:])) or node.output[0]
