"""OpenVINO on the CPU: built, opened, compared, verified; and in which precision it really computes."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Engine, Report, load, seal
from hardedge.deploy import Segmenter
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.doctor.doctor import diagnose
from hardedge.deploy.doctor.machine_description import Imported, MachineDescription
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.latency.bench import bench
from hardedge.deploy.openvino import model as models
from hardedge.deploy.openvino.model import (
    capabilities,
    compile_model,
    executed_precisions,
    find_devices,
    layers_of,
    require_executed,
)
from hardedge.deploy.precisions import cannot_hold
from hardedge.deploy.targets import on_nvidia
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput, Unavailable

pytest.importorskip("openvino", reason="comes with hardedge[openvino]")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, shared_bundle: Path) -> Path:
    directory = tmp_path_factory.mktemp("openvino") / "cpu"
    build(shared_bundle, "openvino:cpu", directory)
    return directory


def test_the_engine_is_the_bundles_file_with_what_is_executed(engine: Path, shared_bundle: Path) -> None:
    manifest = load(Engine, engine)
    assert (manifest.plan, manifest.builder) == ("model.onnx", "openvino")
    assert (engine / "model.onnx").read_bytes() == (shared_bundle / "model.onnx").read_bytes()
    assert set(manifest.executed) == {"fp32"}
    assert manifest.builder_version[:2] == "20"


def test_masks_are_onnxruntimes(engine: Path, shared_engine: Path, shared_bundle: Path) -> None:
    with closing(open_runner(engine)) as ours, closing(open_runner(shared_engine)) as theirs:
        for path in sorted((shared_bundle / "golden/images").iterdir()):
            images_BHWC = np.stack([load_bundle(shared_bundle).golden_image(path.stem)] * 2)
            masks_BHW = ours.masks(images_BHWC)
            assert masks_BHW.dtype == np.uint8
            np.testing.assert_array_equal(masks_BHW, theirs.masks(images_BHWC))
        first, second = ours.stream([images_BHWC, images_BHWC[:1] // 2])
        np.testing.assert_array_equal(first, masks_BHW)  # not the memory of the second
        assert second.shape == masks_BHW[:1].shape


def test_verify_compares_and_audits_what_openvino_executes(
    engine: Path, shared_bundle: Path, shared_data: Path, tmp_path: Path
) -> None:
    gates = Gates(max_miou_drop=0.0, require_precision="fp32>=1")
    report = verify(shared_bundle, [engine], shared_data, tmp_path / "report", gates=gates, latency_seconds=0)
    assert load(Report, tmp_path / "report") == report
    (parity,), (audit,) = report.parity, report.audits
    assert (parity.target, parity.pixel_agreement, parity.difference) == ("openvino:cpu", 1.0, 0.0)
    assert (audit.source, audit.multiply_adds) == ("engine", {"fp32": 1.0})
    (gate,) = (gate for gate in report.gates if gate.name == "--require-precision")
    assert gate.status == "pass"
    assert "100.0% of the multiply-adds (read from the engine's layers)" in gate.found
    assert report.machine["openvino"]


def test_another_file_under_the_bundles_name_is_refused(
    engine: Path, shared_bundle: Path, tmp_path: Path, color_model: Callable[..., onnx.ModelProto]
) -> None:
    manifest = load(Engine, engine)
    (tmp_path / "engine").mkdir()
    onnx.save(color_model(np.array([(1, 2, 3), (200, 2, 3), (3, 200, 9)]), shift=1.0), tmp_path / "engine/model.onnx")
    seal(tmp_path / "engine", dataclasses.replace(manifest, files={}))
    with pytest.raises(BadInput, match="is not the bundle's ONNX file"):
        verify(shared_bundle, [tmp_path / "engine"], None, tmp_path / "report", gates=Gates(), latency_seconds=0)


def test_a_bundle_is_run_as_it_is(shared_bundle: Path) -> None:
    bundle = load_bundle(shared_bundle)
    image_BHWC = bundle.golden_image(bundle.manifest.golden[0])[None]
    with Segmenter.load(shared_bundle, "openvino:cpu") as ours, Segmenter.load(shared_bundle) as theirs:
        assert ours.target == "openvino:cpu"
        np.testing.assert_array_equal(ours(image_BHWC), theirs(image_BHWC))


def test_bench_times_it_beside_onnxruntime(shared_bundle: Path) -> None:
    found = bench(shared_bundle, [("onnxruntime:cpu", "fp32"), ("openvino:cpu", "fp32")], seconds=0.2)
    assert [run.target for run in found.runs] == ["onnxruntime:cpu", "openvino:cpu"]
    run = found.runs[1]
    assert 0 < run.p50 <= run.p99
    assert (run.copy_in, run.copy_out) == (0, 0)
    assert run.memory is None or run.memory > 0


def convolution(dtype: int, quantised: bool = False) -> onnx.ModelProto:
    """Pixels to a mask by one 3x3 convolution: weights of a type, or INT8 with its Q/DQ nodes."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (16, 3, 3, 3)).astype(np.int8)
    scale = np.float32(0.01)
    floats = weights.astype(np.float32) * scale
    numbers = {"scale": scale, "step": np.float32(2.0), "zero": np.int8(0)}
    nodes = [
        helper.make_node("Transpose", ["image"], ["chw"], name="n1", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["chw"], ["x"], name="n2", to=dtype),
    ]
    if quantised:
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["xq"], name="n3"),
            helper.make_node("DequantizeLinear", ["xq", "step", "zero"], ["xd"], name="n4"),
            helper.make_node("DequantizeLinear", ["wq", "scale", "zero"], ["wd"], name="n5"),
        ]
    inputs = ["xd", "wd"] if quantised else ["x", "w"]
    nodes += [
        helper.make_node("Conv", inputs, ["y"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("ArgMax", ["y"], ["best"], name="n7", axis=1, keepdims=0),
        helper.make_node("Cast", ["best"], ["mask"], name="n8", to=TensorProto.UINT8),
    ]
    stored = {"wq": weights} if quantised else {}
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in {**numbers, **stored}.items()]
    if not quantised:
        initializers = [helper.make_tensor("w", dtype, floats.shape, floats.ravel().tolist())]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", "h", "w", 3])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["b", "h", "w"])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def written(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def test_an_fp32_file_is_computed_in_fp32_whatever_the_cpu_can(tmp_path: Path) -> None:
    """By its default hint OpenVINO computes it in BF16 where the CPU can."""
    compiled = compile_model(written(convolution(TensorProto.FLOAT), tmp_path / "model.onnx"), "cpu", "fp32")
    assert executed_precisions(layers_of(compiled)) == {"fp32": 1}
    (layer,) = (layer for layer in layers_of(compiled) if layer.weighted)
    assert "conv" in layer.nodes
    assert str(compiled.get_property("INFERENCE_PRECISION_HINT")) == "<Type: 'float32'>"


def test_an_int8_file_is_computed_in_int8(tmp_path: Path) -> None:
    path = written(convolution(TensorProto.FLOAT, quantised=True), tmp_path / "model.onnx")
    assert executed_precisions(layers_of(compile_model(path, "cpu", "int8"))) == {"int8": 1}


@pytest.mark.skipif("BF16" not in capabilities("cpu"), reason="this CPU has no BF16")
def test_a_bf16_file_is_computed_in_bf16_where_the_cpu_can(tmp_path: Path) -> None:
    path = written(convolution(TensorProto.FLOAT), tmp_path / "model.onnx")
    assert executed_precisions(layers_of(compile_model(path, "cpu", "bf16"))) == {"bf16": 1}
    assert cannot_hold("openvino:cpu", "bf16") is None


@pytest.mark.skipif("FP16" in capabilities("cpu"), reason="this CPU has FP16")
def test_no_engine_is_called_fp16_where_the_cpu_has_none(tmp_path: Path) -> None:
    """There is no error of OpenVINO's: it computes in FP32, or in BF16."""
    path = written(convolution(TensorProto.FLOAT16), tmp_path / "model.onnx")
    with pytest.raises(Unavailable, match=r"does not execute fp16 on this cpu \(its convolutions: 1 in (fp32|bf16)\)"):
        compile_model(path, "cpu", "fp16")
    assert "and would compute in another precision" in str(cannot_hold("openvino:cpu", "fp16"))


def test_what_is_executed_decides_about_the_name() -> None:
    require_executed({"int8": 60, "fp32": 6}, "cpu", "int8")
    require_executed({"int8": 60, "fp16": 6}, "gpu", "mixed")
    with pytest.raises(Unavailable, match="66 in fp32"):
        require_executed({"fp32": 66}, "cpu", "int8")
    assert cannot_hold("openvino:gpu", "fp8") == "OpenVINO has no arithmetic in FP8"


def test_a_device_that_is_not_here(shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_devices()[0] == "cpu"
    monkeypatch.setattr(models, "find_devices", lambda: ("cpu",))
    with pytest.raises(Unavailable, match="OpenVINO finds no npu here"):
        build(shared_bundle, "openvino:npu", tmp_path / "engine")
    assert not (tmp_path / "engine").exists()
    assert not on_nvidia("openvino:gpu")


def test_a_file_that_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(BadInput, match=r"OpenVINO refused .*model.onnx on cpu \(.*\)\. Use another target"):
        compile_model(tmp_path / "model.onnx", "cpu", "fp32")


def test_images_that_do_not_fit(engine: Path) -> None:
    with closing(open_runner(engine)) as runner, pytest.raises(BadInput, match=r"images of 1x64x96x4 do not run"):
        runner.masks(np.zeros((1, 64, 96, 4), np.uint8))


def test_its_telemetry_is_never_loaded() -> None:
    program = (
        "import sys; from hardedge.deploy.openvino.model import find_devices; find_devices(); "
        "print(sys.modules['openvino_telemetry'], any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("None False\n", 0), done.stderr


def test_doctor_tells_of_it(engine: Path) -> None:
    from hardedge.contracts import read_json

    machine = read_json(MachineDescription, Path(__file__).parents[1] / "doctor/machines/t4.json")
    manifest = load(Engine, engine)
    (missing,) = diagnose(machine, manifest).obstacles
    assert (missing.topic, missing.fix) == ("openvino", "pip install 'hardedge[openvino]'")
    here = dataclasses.replace(machine, imports={**machine.imports, "openvino": Imported(version="2026.4", error=None)})
    assert diagnose(here, manifest).obstacles == ()
    broken = Imported(version=None, error="libtbb.so.12: cannot open shared object file")
    (obstacle,) = diagnose(
        dataclasses.replace(machine, imports={**machine.imports, "openvino": broken}), manifest
    ).obstacles
    assert "does not load: libtbb" in obstacle.found
