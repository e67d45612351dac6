"""Infinities and NaN in front of the argmax: fake overflows, the fewest nodes that keep them away, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, Engine, load, parse_json, seal
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines import infinities as finite
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.fp32_fallback import fallback_text
from hardedge.deploy.engines.infinities import choose_images_to_try, find_nodes_to_keep_finite, find_not_finite
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput
from hardedge.graphs.canonical import complexity_of, onnx_digest
from hardedge.graphs.pinning import pin_to_fp32, pinning_candidates

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
IMAGES = {"a": np.full((32, 32, 3), 10, np.uint8), "b": np.full((32, 32, 3), 200, np.uint8)}


def overflowing(
    gain: float = 1000.0, middle: str = "Relu", kind: int = HALF, bias: float = 0.0, last: float = 0.001
) -> onnx.ModelProto:
    """Three convolutions of one value; the second makes it `gain` times as large, the third 1000 times smaller."""
    dtype = np.float16 if kind == HALF else np.float32

    def weight(name: str, values: object) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, dtype), name)

    unit = np.eye(3)[:, :, None, None]
    weights = [
        weight("unit", unit),
        weight("large", gain * unit),
        weight("small", last * unit),
        weight("shift", [bias] * 3),
    ]
    nodes = [
        ("Cast", ["image"], ["pixels"], {"to": FLOAT}),
        ("Transpose", ["pixels"], ["planes"], {"perm": [0, 3, 1, 2]}),
        ("Cast", ["planes"], ["x"], {"to": kind}),
        ("Conv", ["x", "unit"], ["a"], {}),
        ("Relu", ["a"], ["b"], {}),
        ("Conv", ["b", "large", "shift"], ["c"], {}),
        (middle, ["c"], ["d"], {}),
        ("Conv", ["d", "small"], ["e"], {}),
        ("Relu", ["e"], ["logits"], {}),
        ("ArgMax", ["logits"], ["classes"], {"axis": 1, "keepdims": 0}),
        ("Cast", ["classes"], ["half"], {"to": HALF}),
        ("Cast", ["half"], ["mask"], {"to": TensorProto.UINT8}),
    ]
    made = [helper.make_node(op, *edges, name=f"n{i}", **options) for i, (op, *edges, options) in enumerate(nodes)]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", "H", "W", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["B", "H", "W"])
    graph = helper.make_graph(made, "overflowing", [image], [mask], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_values_that_fit_are_left_alone() -> None:
    assert find_not_finite(overflowing(gain=100), IMAGES) is None
    assert find_nodes_to_keep_finite(overflowing(gain=100), IMAGES, "model.onnx") == ()
    assert find_not_finite(overflowing(kind=FLOAT), IMAGES) is None


def test_a_fake_overflow_is_healed_by_its_nodes_alone() -> None:
    """200 * 1000 is beyond 65504: the convolution, the ReLU and the reader must keep it in FP32; 10 * 1000 is not."""
    model = overflowing()
    assert find_not_finite(model, {"a": IMAGES["a"]}) is None
    found = find_not_finite(model, IMAGES)
    assert found is not None
    assert found.said == "n5 (Conv) is not finite on image b"
    healed = find_nodes_to_keep_finite(model, IMAGES, "model.onnx")
    assert [each.node for each in healed] == ["n5", "n6", "n7"]
    assert {(each.cause, each.precision, each.why) for each in healed} == {("not finite", "fp16", found.said)}
    changed = pin_to_fp32(model, {each.node for each in healed})
    assert find_not_finite(changed, IMAGES) is None
    assert {"n3", "n4", "n8"} <= pinning_candidates(changed).keys()
    assert fallback_text(healed) == (
        "n5 (Conv, fp16), n6 (Relu, fp16), n7 (Conv, fp16) compute in FP32, as its values do not fit: "
        "n5 (Conv) is not finite on image b"
    )


def test_an_infinity_that_never_reaches_the_logits_is_no_fault() -> None:
    assert find_not_finite(overflowing(middle="Sigmoid"), IMAGES) is None


def test_a_value_that_only_a_cast_makes_infinite_is_read_before_it() -> None:
    """Pixels times 2000 in FP32, cast to FP16: FP32 readers read what was before the cast."""
    model = overflowing(gain=1.0)
    scale = numpy_helper.from_array(np.float32(2000), "scale")
    model.graph.initializer.append(scale)
    model.graph.node.insert(2, helper.make_node("Mul", ["planes", "scale"], ["bright"], name="bright"))
    model.graph.node[3].input[0] = "bright"
    healed = find_nodes_to_keep_finite(model, IMAGES, "model.onnx")
    assert [each.node for each in healed][:2] == ["n3", "n4"]
    changed = pin_to_fp32(model, {each.node for each in healed})
    assert find_not_finite(changed, IMAGES) is None
    assert "n2" not in {node.name for node in changed.graph.node}


@pytest.mark.parametrize("kind", [HALF, FLOAT])
def test_what_fp32_cannot_heal_is_refused_with_its_node(kind: int) -> None:
    """Infinity times zero is NaN in any precision."""
    model = overflowing(kind=kind, bias=float("inf"), last=0.0)
    with pytest.raises(BadInput, match=r"model.onnx: n5 \(Conv\) is not finite on image a"):
        find_nodes_to_keep_finite(model, IMAGES, "model.onnx")


def test_a_network_whose_logits_nobody_can_name_is_not_judged() -> None:
    model = overflowing()
    model.graph.node[9].attribute[0].i = 2
    assert find_not_finite(model, IMAGES) is None


def test_large_networks_are_tried_on_few_images() -> None:
    images = {str(number): IMAGES["a"] for number in range(8)}
    assert len(choose_images_to_try(images, 10**9)) == 8
    assert list(choose_images_to_try(images, 2 * 10**11)) == ["0", "1"]
    assert list(choose_images_to_try(images, 10**13)) == ["0"]
    assert finite.MULTIPLY_ADDS == 5e11


def with_half(bundle: Path, model: onnx.ModelProto, name: str = "fp16") -> Bundle:
    """The bundle with one more precision."""
    onnx.save(model, bundle / f"model.{name}.onnx")
    manifest = parse_json(Bundle, (bundle / Bundle.FILE).read_bytes(), "bundle")
    fp32 = manifest.models[0]
    counted = complexity_of(model, manifest.profile.opt, multiply_adds=1)
    more = replace(fp32, path=f"model.{name}.onnx", precision=name, onnx_digest=onnx_digest(model), census=counted)
    return seal(bundle, replace(manifest, models=(fp32, more)))


def test_a_build_heals_and_says_so(
    own_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], shared_data: Path
) -> None:
    with_half(own_bundle, overflowing())
    engine = build(own_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="fp16")
    assert load(Engine, tmp_path / "engine").healed == engine.healed
    assert [each.node for each in engine.healed] == ["n5", "n6", "n7"]
    assert "n5 (Conv, fp16), n6 (Relu, fp16), n7 (Conv, fp16) compute in FP32" in capfd.readouterr().err
    report = verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)
    assert report.engines[0].healed == engine.healed
    assert "as its values do not fit" in (tmp_path / "out/report.html").read_text()
    with pytest.raises(BadInput, match=r"(?s)n5 \(Conv\) is not finite .*--no-heal forbids"):
        build(own_bundle, "onnxruntime:cpu", tmp_path / "other", precision="fp16", request=BuildRequest(heal=False))
    assert not (tmp_path / "other").exists()


def test_a_healed_session_is_the_bundles_file_with_just_these_nodes_pinned(own_bundle: Path, tmp_path: Path) -> None:
    with_half(own_bundle, overflowing())
    engine = build(own_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="fp16")
    seal(tmp_path / "engine", replace(engine, healed=engine.healed[:1]))
    with pytest.raises(BadInput, match=r"is not the bundle's ONNX file"):
        verify(own_bundle, [tmp_path / "engine"], None, tmp_path / "out", gates=Gates(), latency_seconds=0)


def test_nan_weights_are_refused_with_the_node_that_reads_them(own_bundle: Path, tmp_path: Path) -> None:
    model = overflowing(gain=float("nan"))
    with_half(own_bundle, model)
    with pytest.raises(BadInput, match=r"large, which n5 \(Conv\) reads: 9 of 9 values are NaN"):
        build(own_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="fp16")


def test_the_fake_models_are_what_they_are_said_to_be(color_model: Callable[..., onnx.ModelProto]) -> None:
    assert set(pinning_candidates(overflowing()).values()) == {"fp16"}
    assert pinning_candidates(color_model(np.eye(3))) == {}


def test_what_onnxruntime_does_not_take_is_left_to_the_builder(
    own_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that onnxruntime refuses, or stops on, may be TensorRT's: a note says that nobody looked."""
    model = overflowing()
    model.graph.node[6].op_type = "Expand"
    model.graph.node[6].input.append("too wide")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 7, 9]), "too wide"))
    with pytest.raises(finite.NotRun):
        find_nodes_to_keep_finite(model, IMAGES, "model.onnx")
    with_half(own_bundle, model)
    build(own_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="fp16")
    assert "infinite values were not looked for" in capfd.readouterr().err
