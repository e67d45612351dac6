"""The precision audit on small typed graphs, on layers as TensorRT's inspector writes them, and its gate."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, Certificate, Engine, Overhead, PrecisionAudit, load, read_json
from hardedge.deploy.engines.build import build
from hardedge.deploy.tensorrt.layers import layer_precision, onnx_nodes, read_layers
from hardedge.deploy.verification.gates import Gates, judge_gates
from hardedge.deploy.verification.limits import parse_required_share
from hardedge.deploy.verification.precision_audit import audit_layers, audit_onnx
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput

SIZE = (1, 8, 8)


def typed_model(first: str, second: str) -> onnx.ModelProto:
    """Two convolutions, 3 to 4 channels and 4 to 4, 1x1: 12 and 16 multiply-adds a pixel, each in a precision."""
    nodes, weights = [], []

    def value(name: str, kind: int) -> str:
        nodes.append(helper.make_node("Cast", [name], [f"{name} {kind}"], to=kind))
        return f"{name} {kind}"

    def convolution(data: str, name: str, precision: str, inputs: int) -> str:
        kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
        weight = np.full((4, inputs, 1, 1), 0.5, np.float16 if precision == "fp16" else np.float32)
        data = value(data, kind)
        if precision != "int8":
            weights.append(numpy_helper.from_array(weight, f"{name} weight"))
            nodes.append(helper.make_node("Conv", [data, f"{name} weight"], [name], name=f"conv {name}"))
            return name
        scale, zero = f"{name} scale", f"{name} zero"
        weights.append(numpy_helper.from_array(np.float32(0.1), scale))
        weights.append(numpy_helper.from_array(np.int8(0), zero))
        weights.append(numpy_helper.from_array(weight.astype(np.int8), f"{name} weight"))
        nodes.append(helper.make_node("QuantizeLinear", [data, scale, zero], [f"{name} q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name} q", scale, zero], [f"{name} dq"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name} weight", scale, zero], [f"{name} w"]))
        nodes.append(helper.make_node("Conv", [f"{name} dq", f"{name} w"], [name], name=f"conv {name}"))
        return name

    nodes.append(helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]))
    last = convolution(convolution("planes", "a", first, 3), "b", second, 4)
    nodes.append(helper.make_node("ArgMax", [value(last, TensorProto.FLOAT)], ["classes"], axis=1, keepdims=0))
    nodes.append(helper.make_node("Cast", ["classes"], ["mask"], to=TensorProto.UINT8))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", "H", "W", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["B", "H", "W"])
    graph = helper.make_graph(nodes, "typed", [image], [mask], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def engine(shared_engine: Path) -> Engine:
    return load(Engine, shared_engine)


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        ("fp32", "fp32", {"fp32": 1.0}),
        ("fp32", "fp16", {"fp16": 16 / 28, "fp32": 12 / 28}),
        ("fp16", "fp16", {"fp16": 1.0}),
        ("int8", "int8", {"int8": 1.0}),
        ("int8", "fp32", {"fp32": 16 / 28, "int8": 12 / 28}),
        ("fp16", "int8", {"int8": 16 / 28, "fp16": 12 / 28}),
    ],
)
def test_multiply_adds_by_precision(first: str, second: str, shares: dict[str, float], engine: Engine) -> None:
    audit = audit_onnx(typed_model(first, second), SIZE, engine)
    assert audit.multiply_adds == pytest.approx(shares)
    assert list(audit.multiply_adds) == list(shares)
    assert (audit.source, audit.target) == ("onnx", "onnxruntime:cpu")


def test_weight_bytes_and_reformats(engine: Engine) -> None:
    audit = audit_onnx(typed_model("fp16", "fp32"), SIZE, engine)
    model = typed_model("fp16", "fp32")
    small, large = (tensor.ByteSize() for tensor in model.graph.initializer)
    assert audit.bytes == pytest.approx({"fp32": large / (small + large), "fp16": small / (small + large)})
    # image, into each convolution, into the argmax, the mask
    assert (audit.reformats, audit.layers) == (5, 9)


def layer(kind: str, nodes: list[str], type: str) -> dict[str, object]:
    """As IEngineInspector gives it with detailed verbosity (TensorRT's documentation)."""
    return {
        "Name": "+".join(nodes),
        "LayerType": kind,
        "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": type}],
        "Outputs": [{"Name": "y", "Dimensions": [1, 4, 8, 8], "Format/Datatype": "Half"}],
        "Metadata": "".join(f"[ONNX Layer: {node}]" for node in nodes),
    }


def test_the_engines_layers_outvote_the_file(engine: Engine) -> None:
    """The file says FP16, the engine runs the larger convolution in FP32: the case that the audit is for."""
    layers = [
        layer("Reformat", [], "Float"),
        layer("CaskConvolution", ["conv a", "node 3"], "Half NC/8HW8"),
        layer("CaskConvolution", ["conv b"], "Row major linear FP32"),
    ]
    audit = audit_layers(read_layers(layers), typed_model("fp16", "fp16"), SIZE, engine)
    assert audit.multiply_adds == pytest.approx({"fp32": 16 / 28, "fp16": 12 / 28})
    assert (audit.source, audit.reformats, audit.layers) == ("engine", 1, 3)


def test_what_no_layer_names_is_other(engine: Engine) -> None:
    audit = audit_layers(read_layers([layer("Conv", ["conv a"], "Int8")]), typed_model("int8", "int8"), SIZE, engine)
    assert audit.multiply_adds == pytest.approx({"other": 16 / 28, "int8": 12 / 28})
    bare = audit_layers(read_layers([{"Name": "x"}]), typed_model("int8", "int8"), SIZE, engine)
    assert bare.multiply_adds == {"other": 1.0}
    assert "do not say" in bare.detail


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("Int8 NC/32HW32", "int8"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP32 format", "fp32"),
        ("FP8 E4M3", "fp8"),
        ("BFloat16", "bf16"),
        ("Int64", None),
        ("N/A due to dynamic shapes", None),
    ],
)
def test_types_as_the_inspector_writes_them(text: str, precision: str | None) -> None:
    assert layer_precision({"Inputs": [{"Format/Datatype": text}]}) == precision


def test_fused_nodes_are_read_from_the_metadata() -> None:
    assert onnx_nodes(layer("x", ["n1", "n 2"], "Half")) == ["n1", "n 2"]
    assert onnx_nodes({"Name": "n1"}) == []


def audited(precision: str, shares: dict[str, float]) -> PrecisionAudit:
    return PrecisionAudit(
        target="tensorrt",
        precision=precision,
        source="engine",
        detail="why",
        multiply_adds=shares,
        bytes={},
        reformats=0,
        layers=1,
    )


@pytest.mark.parametrize(
    ("shares", "status"),
    [({"int8": 0.95, "fp16": 0.05}, "pass"), ({"int8": 0.9}, "pass"), ({"fp32": 1.0}, "fail"), ({}, "fail")],
)
def test_the_gate_applies_to_the_engine_that_was_asked_for(
    shared_bundle: Path, shares: dict[str, float], status: str
) -> None:
    certificate = read_json(Certificate, shared_bundle / Certificate.FILE)
    nothing = Overhead(ratio=None, interval=None, status="implied", detail="")
    audits = [audited("int8", shares), audited("fp32", {"fp32": 1.0})]
    (gate,) = judge_gates(Gates(require_precision="int8>=0.9"), certificate, [], nothing, audits)
    assert (gate.status, gate.limit) == (status, "int8>=0.9")
    (none,) = judge_gates(Gates(require_precision="fp8>=0.5"), certificate, [], nothing, audits)
    assert (none.status, none.found) == ("inconclusive", "no fp8 engine was audited")


def test_what_requires_nothing_is_refused() -> None:
    assert parse_required_share("int8>=0.9") == ("int8", 0.9)
    assert parse_required_share("fp16 >= 1") == ("fp16", 1.0)
    for wrong in ("int8", "int8>0.9", "int4>=0.9", "int8>=90", "int8>=1.1", "int8>=-1", ""):
        with pytest.raises(
            BadInput, match='require-precision: expected text such as "int8>=0.9": fp32, .*; 0 to 1, got'
        ):
            Gates(require_precision=wrong)


def test_an_fp32_engine_under_another_name_fails(
    own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]
) -> None:
    """A bundle that calls its FP32 network FP16, as a converter that silently kept FP32 would leave it."""
    bundle = load(Bundle, own_bundle)
    pretended = replace(bundle.models[0], precision="fp16")
    resealed(own_bundle, models=(bundle.models[0], pretended))
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="fp16")
    gates = Gates(require_precision="fp16>=0.9")
    report = verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=gates, latency_seconds=0)
    (audit,) = report.audits
    assert (audit.precision, audit.multiply_adds) == ("fp16", {"fp32": 1.0})
    assert [(gate.name, gate.status) for gate in report.gates] == [
        ("--require-precision", "fail"),
        ("golden images", "pass"),
        ("batches", "pass"),
        ("image sizes", "pass"),
    ]
    assert report.verdict == "fail"
    assert json.loads((tmp_path / "out/report.json").read_text())["audits"][0]["source"] == "onnx"


@pytest.mark.gpu
def test_an_engines_own_layers_are_read(shared_bundle: Path, tmp_path: Path) -> None:
    from hardedge.deploy.engines.open import open_runner
    from hardedge.deploy.machine import compute_capability
    from hardedge.deploy.tensorrt.runner import TensorRTRunner

    device = compute_capability()
    if device is None:
        pytest.skip("no NVIDIA GPU answers here: an engine cannot be loaded")
    pytest.importorskip("tensorrt", reason="tensorrt comes from NVIDIA's own index")
    build(shared_bundle, "tensorrt", tmp_path / "engine")
    runner = open_runner(tmp_path / "engine")
    assert isinstance(runner, TensorRTRunner)
    model = onnx.load(shared_bundle / "model.onnx")
    audit = audit_layers(runner.layers(), model, SIZE, load(Engine, tmp_path / "engine"))
    runner.close()
    assert audit.multiply_adds.get("fp32") == 1.0
