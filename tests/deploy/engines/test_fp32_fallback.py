"""The self-healing build: fake refusals, the change of the graph in numbers, real refusals of TensorRT-RTX."""

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, Engine, Profile, load
from hardedge.deploy.backends.request import BuildRefused, BuildRequest
from hardedge.deploy.bundles.validity import check_model
from hardedge.deploy.engines.build import build, rtx_plans
from hardedge.deploy.engines.fp32_fallback import MOST_BUILDS, fallback_text, find_nodes_to_pin
from hardedge.deploy.engines.fp32_fallback_refused import compile_with_fp32_fallback
from hardedge.deploy.report.terminal import summary_text
from hardedge.deploy.targets import backend_of, parse_target
from hardedge.deploy.tensorrt.backend import TENSORRT_RTX
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.graphs.element_types import element_types, precision_of
from hardedge.graphs.pinning import pin_to_fp32, pinning_candidates
from hardedge.graphs.walking import producers

SIZE = Profile(min=(1, 64, 96), opt=(1, 64, 96), max=(1, 64, 96))
NUMPY = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16, TensorProto.FLOAT: np.float32}
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)


class Builder:
    """Refuses until all of its culprits are pinned; names one of them, or none."""

    def __init__(self, culprits: Iterable[str], names: bool) -> None:
        self.culprits, self.names, self.builds = sorted(culprits), names, 0

    def __call__(self, pins: frozenset[str]) -> str | None:
        self.builds += 1
        left = [name for name in self.culprits if name not in pins]
        if not left:
            return None
        return (
            f"In node 5 with name: {left[0]} and operator: Conv" if self.names else "could not find any implementation"
        )


def precisions(count: int) -> dict[str, str]:
    return {f"n{number}": "fp16" for number in range(count)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.sets(st.integers(0, 59), min_size=1, max_size=4), st.booleans())
def test_exactly_the_culprits_are_pinned(count: int, chosen: set[int], names: bool) -> None:
    culprits = {f"n{number % count}" for number in chosen}
    builder = Builder(culprits, names)
    pins = find_nodes_to_pin(precisions(count), str(builder(frozenset())), builder)
    assert pins is not None
    assert set(pins) == culprits
    # one a culprit where they are named; some two halvings a culprit where not
    assert builder.builds <= (len(culprits) + 2 if names else 3 + 2 * len(culprits) * (1 + int(np.log2(60))))


def test_what_no_pins_help_is_given_up() -> None:
    assert find_nodes_to_pin(precisions(5), "no", lambda pins: "no") is None
    assert find_nodes_to_pin(precisions(5), "name: n1", lambda pins: "name: n1") is None


def test_a_name_that_misleads_is_not_kept() -> None:
    """The builder complains of n1, and n4 is what it cannot build."""
    assert find_nodes_to_pin(precisions(8), "near n1", lambda pins: None if "n4" in pins else "near n1") == ("n4",)


def test_too_many_builds_end_with_more_nodes_pinned() -> None:
    culprits = {f"n{number}" for number in range(0, 400, 7)}
    builder = Builder(culprits, names=False)
    pins = find_nodes_to_pin(precisions(400), "could not find any implementation", builder)
    assert pins is not None
    assert builder.builds == MOST_BUILDS
    assert culprits <= set(pins)


def test_a_type_that_a_device_lacks_takes_all_its_nodes_at_once() -> None:
    kinds = precisions(30) | {"q1": "fp8", "q2": "fp8"}
    told = "Cannot compile for target(s) sm86, because the model contains HW-specific datatypes: fp8_e4m3. In"
    builds: list[frozenset[str]] = []

    def attempt(pins: frozenset[str]) -> str | None:
        builds.append(pins)
        return None if {"q1", "q2"} <= pins else told

    assert find_nodes_to_pin(kinds, told, attempt) == ("q1", "q2")
    assert len(builds) == 1


def typed(kind: int, last: str, seed: int = 0) -> onnx.ModelProto:
    """A convolution and a ReLU, then what the test is about: ConvTranspose, HardSwish, or a quantised convolution."""
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(size=shape) / 4).astype(NUMPY[kind]), name)

    weights = [
        weight("first", 4, 3, 3, 3),
        weight("second", 4, 4, 2, 2) if last == "ConvTranspose" else weight("second", 4, 4, 1, 1),
    ]
    nodes = [
        ("Cast", ["image"], ["pixels"], {"to": TensorProto.FLOAT}),
        ("Transpose", ["pixels"], ["planes"], {"perm": [0, 3, 1, 2]}),
        ("Mul", ["planes", "unit"], ["scaled"], {}),
        ("Cast", ["scaled"], ["x"], {"to": kind}),
        ("Conv", ["x", "first"], ["y"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["y"], ["z"], {}),
    ]
    weights.append(numpy_helper.from_array(np.float32(1 / 256), "unit"))
    if last in ("fp8", "int8"):
        integers = TensorProto.FLOAT8E4M3FN if last == "fp8" else TensorProto.INT8
        weights.append(numpy_helper.from_array(np.array(0.05, NUMPY[kind]), "scale"))
        weights.append(helper.make_tensor("zero", integers, [], [0]))
        for name, made in (("z", "z"), ("second", "w")):
            nodes.append(("QuantizeLinear", [name, "scale", "zero"], [f"{made} q"], {}))
            nodes.append(("DequantizeLinear", [f"{made} q", "scale"], [f"{made} dq"], {}))
        nodes.append(("Conv", ["z dq", "w dq"], ["logits"], {}))
    elif last == "ConvTranspose":
        nodes.append((last, ["z", "second"], ["logits"], {"strides": [2, 2]}))
    else:
        nodes.append((last, ["z"], ["logits"], {}))
    nodes.append(("Cast", ["logits"], ["floats"], {"to": TensorProto.FLOAT}))
    nodes.append(("ArgMax", ["floats"], ["classes"], {"axis": 1, "keepdims": 0}))
    nodes.append(("Cast", ["classes"], ["mask"], {"to": TensorProto.UINT8}))
    made = [helper.make_node(op, *edges, name=f"n{i}", **options) for i, (op, *edges, options) in enumerate(nodes)]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", "H", "W", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["B", "h", "w"])
    graph = helper.make_graph(made, "typed", [image], [mask], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def precisions_of(model: onnx.ModelProto) -> dict[str, str | None]:
    types, made_by = element_types(model), producers(model)
    return {node.name: precision_of(node, types, made_by) for node in model.graph.node if node.name}


def logits_of(model: onnx.ModelProto) -> np.ndarray:
    probe = onnx.ModelProto.FromString(model.SerializeToString())
    probe.graph.output.append(helper.make_tensor_value_info("floats", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 24, 3), np.uint8)
    return np.asarray(session.run(["floats"], {"image": image})[0])


@pytest.mark.parametrize("last", ["HardSwish", "ConvTranspose", "int8"])
def test_a_pinned_graph_is_sound_and_close_to_what_it_was(last: str, tmp_path: Path) -> None:
    model = typed(TensorProto.FLOAT16, last)
    found = pinning_candidates(model)
    wanted = [name for name, precision in found.items() if precision == ("int8" if last == "int8" else "fp16")][-1]
    changed = pin_to_fp32(model, {wanted})
    onnx.checker.check_model(changed, full_check=True)
    (tmp_path / "pinned.onnx").write_bytes(changed.SerializeToString())
    check_model(tmp_path / "pinned.onnx")
    before, after = precisions_of(model), precisions_of(changed)
    assert after[wanted] == "fp32"
    assert {name: after[name] for name in found if name != wanted} == {
        name: before[name] for name in found if name != wanted
    }
    # FP16 keeps 11 bits, the quantised weights steps of 0.05; logits are of the order of 1
    assert np.abs(logits_of(model) - logits_of(changed)).max() < (0.5 if last == "int8" else 0.01)


def test_everything_pinned_is_the_fp32_network(tmp_path: Path) -> None:
    """Weights that FP16 holds exactly: the FP32 network with these weights gives the same logits."""
    half = typed(TensorProto.FLOAT16, "ConvTranspose")
    full = pin_to_fp32(half, set(pinning_candidates(half)))
    assert set(precisions_of(full).values()) <= {"fp32", None}
    exact = typed(TensorProto.FLOAT, "ConvTranspose")
    for tensor, stored in zip(exact.graph.initializer, half.graph.initializer, strict=True):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored).astype(np.float32), tensor.name))
    # pixels / 256 are FP16 numbers, and nothing is rounded between pinned nodes: only the logits are, at the end
    rounded = logits_of(exact).astype(np.float16).astype(np.float32)
    assert (logits_of(full) == rounded).mean() > 0.99
    assert np.abs(logits_of(full) - rounded).max() <= 2**-10 * np.abs(rounded).max()


def test_quantisers_and_weights_that_nothing_reads_are_gone() -> None:
    model = typed(TensorProto.FLOAT16, "int8")
    changed = pin_to_fp32(model, {name for name, precision in pinning_candidates(model).items() if precision == "int8"})
    assert not any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in changed.graph.node)
    names = {tensor.name for tensor in changed.graph.initializer}
    assert "second in fp32" in names
    assert not names & {"second", "scale", "zero"}
    assert len(model.graph.node) == 14


@pytest.mark.parametrize("axis", [0, 1])
def test_stored_quantised_weights_become_their_values(axis: int) -> None:
    model = typed(TensorProto.FLOAT16, "int8")
    graph = model.graph
    quantiser = next(node for node in graph.node if node.output[0] == "w q")
    dequantiser = next(node for node in graph.node if node.output[0] == "w dq")
    graph.node.remove(quantiser)
    values = np.random.default_rng(0).integers(-127, 128, (4, 4, 1, 1)).astype(np.int8)
    scales = np.array([0.01, 0.02, 0.03, 0.04], np.float16)
    graph.initializer.extend([numpy_helper.from_array(values, "stored"), numpy_helper.from_array(scales, "scales")])
    dequantiser.input[:] = ["stored", "scales"]
    dequantiser.attribute.append(helper.make_attribute("axis", axis))
    changed = pin_to_fp32(model, {name for name, precision in pinning_candidates(model).items() if precision == "int8"})
    weight = next(numpy_helper.to_array(t) for t in changed.graph.initializer if t.name == "w dq in fp32")
    shape = [-1 if place == axis else 1 for place in range(4)]
    assert np.array_equal(weight, values.astype(np.float32) * scales.astype(np.float32).reshape(shape))


@needs_rtx
@pytest.mark.parametrize(
    ("kind", "last", "said"),
    [
        (TensorProto.BFLOAT16, "ConvTranspose", "deconv"),
        (TensorProto.BFLOAT16, "HardSwish", "UNSUPPORTED_NODE"),
        (TensorProto.FLOAT16, "fp8", "HW-specific datatypes: fp8"),
    ],
)
def test_a_real_refusal_is_healed_by_its_one_node(kind: int, last: str, said: str, tmp_path: Path) -> None:
    model = typed(kind, last)
    onnx.save(model, tmp_path / "model.onnx")
    target = parse_target("tensorrt-rtx:sm86")
    job = (backend_of(target), tmp_path / "model.onnx", "fp16", [target], [SIZE], tmp_path)
    with pytest.raises(BuildRefused):
        compile_with_fp32_fallback(*job, BuildRequest(heal=False))
    plan = compile_with_fp32_fallback(*job, BuildRequest())[target]
    culprit = next(node for node in model.graph.node if "logits" in node.output)
    assert [(each.node, each.operator) for each in plan.healed] == [(culprit.name, culprit.op_type)]
    assert said in plan.healed[0].why
    # byte for byte the plan of the file with that one node in FP32
    onnx.save(pin_to_fp32(model, {culprit.name}), tmp_path / "pinned.onnx")
    assert plan.path.read_bytes() == rtx_plans(tmp_path / "pinned.onnx", [str(target)], [SIZE])[str(target)]


@needs_rtx
def test_a_device_that_builds_it_is_left_as_it_is(tmp_path: Path) -> None:
    onnx.save(typed(TensorProto.FLOAT16, "fp8"), tmp_path / "model.onnx")
    targets = [parse_target(f"tensorrt-rtx:{device}") for device in ("sm86", "sm89")]
    plans = compile_with_fp32_fallback(
        TENSORRT_RTX, tmp_path / "model.onnx", "fp16", targets, [SIZE], tmp_path, BuildRequest()
    )
    assert [len(plans[target].healed) for target in targets] == [1, 0]


@needs_rtx
def test_what_was_healed_is_in_the_manifest_the_audit_and_the_report(
    own_bundle: Path,
    tmp_path: Path,
    resealed: Callable[..., Bundle],
    capfd: pytest.CaptureFixture[str],
) -> None:
    from hardedge.graphs.canonical import onnx_digest

    model = typed(TensorProto.BFLOAT16, "HardSwish")
    onnx.save(model, own_bundle / "model.bf16.onnx")
    fp32 = load(Bundle, own_bundle).models[0]
    bf16 = replace(fp32, path="model.bf16.onnx", precision="bf16", onnx_digest=onnx_digest(model))
    resealed(own_bundle, models=(fp32, bf16))
    engine = build(own_bundle, "tensorrt-rtx:sm86", tmp_path / "engine", precision="bf16")
    assert load(Engine, tmp_path / "engine").healed == engine.healed
    assert fallback_text(engine.healed).startswith(
        "n6 (HardSwish, bf16) compute in FP32, as the builder refused: In node 6"
    )
    assert "tensorrt-rtx:sm86: n6 (HardSwish, bf16)" in capfd.readouterr().err
    report = verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    assert report.engines[0].healed == engine.healed
    assert "n6 (HardSwish, bf16) compute in FP32" in (tmp_path / "out/report.html").read_text()
    lines = summary_text(report, tmp_path / "out").splitlines()
    assert any(line.startswith("  healed       tensorrt-rtx:sm86: n6 (HardSwish, bf16)") for line in lines)
    assert "  computes in  tensorrt-rtx:sm86 bf16: bf16 100.0% of the multiply-adds (onnx)" in lines
    with pytest.raises(BuildRefused, match="HardSwish"):
        build(own_bundle, "tensorrt-rtx:sm86", tmp_path / "other", precision="bf16", request=BuildRequest(heal=False))


@needs_rtx
def test_an_fp32_network_has_nothing_to_heal(own_bundle: Path, tmp_path: Path, resealed: Callable[..., Bundle]) -> None:
    model = onnx.load(own_bundle / "model.onnx")
    model.graph.node[2].op_type = "ConvInteger"
    onnx.save(model, own_bundle / "model.onnx")
    resealed(own_bundle)
    with pytest.raises(BuildRefused, match="ConvInteger"):
        build(own_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")


def test_many_healed_nodes_are_told_briefly() -> None:
    from hardedge.contracts import FallbackNode

    healed = [FallbackNode(node=f"n{i}", operator="Conv", precision="fp8", why="why") for i in range(9)]
    assert fallback_text(healed).endswith("n4 (Conv, fp8) and 4 more compute in FP32, as the builder refused: why")
