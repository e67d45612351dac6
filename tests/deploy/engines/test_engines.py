"""Engines, built for real: TensorRT-RTX compiles ahead of time without a GPU."""

import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import onnx
import pytest

from hardedge.contracts import BuildOptions, Bundle, Engine, Profile, load, sha256_of
from hardedge.deploy.backends.request import BuildRequest
from hardedge.deploy.engines.build import build, build_all, rtx_digests, rtx_plans
from hardedge.deploy.tensorrt.plans import builder_errors
from hardedge.errors import BadInput, Unavailable

PROFILE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 128, 192))
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64"
)
needs_no_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="tests what happens without tensorrt, which is installed"
)


def test_an_onnxruntime_engine_is_the_onnx_file(shared_bundle: Path, tmp_path: Path) -> None:
    engine = build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    bundle = load(Bundle, shared_bundle)
    assert engine == load(Engine, tmp_path / "engine")
    assert engine.files == {"model.onnx": bundle.files["model.onnx"]}
    assert (engine.made_from, engine.onnx_digest) == (bundle.digest, bundle.models[0].onnx_digest)
    assert engine.builder == "onnxruntime"


def test_options_that_a_session_does_not_have_are_told(
    shared_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = BuildRequest(BuildOptions(dla=0))
    engine = build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine", request=request)
    assert engine.options == BuildOptions()
    assert "onnxruntime:cpu: built without the options, which are TensorRT's" in capfd.readouterr().err


@needs_rtx
def test_several_rtx_engines_from_one_call(shared_bundle: Path, tmp_path: Path) -> None:
    wanted = {name: tmp_path / name.replace(":", "-") for name in ("tensorrt-rtx:sm86", "tensorrt-rtx:sm120")}
    engines = build_all(shared_bundle, wanted)
    assert [load(Engine, directory) for directory in wanted.values()] == list(engines)
    assert [engine.target for engine in engines] == list(wanted)
    assert engines[0].files != engines[1].files
    # equal bytes are promised for a profile of one size only
    one_size = Profile(min=(1, 64, 96), opt=(1, 64, 96), max=(1, 64, 96))
    digests = [rtx_digests(shared_bundle / "model.onnx", list(wanted), [one_size]) for _ in range(2)]
    assert digests[0] == digests[1]
    assert digests[0]["tensorrt-rtx:sm86"] != digests[0]["tensorrt-rtx:sm120"]
    assert all(engine.builder == "tensorrt_rtx" and engine.builder_version[0].isdigit() for engine in engines)


@needs_rtx
def test_rtx_plans_follow_the_weights_and_not_the_metadata(shared_bundle: Path, tmp_path: Path) -> None:
    target = "tensorrt-rtx:sm86"
    model = onnx.load(shared_bundle / "model.onnx")
    # under a range of sizes the bytes of one file vary from build to build
    size = Profile(min=PROFILE.opt, opt=PROFILE.opt, max=PROFILE.opt)
    first = rtx_plans(shared_bundle / "model.onnx", [target], [size])
    for node in model.graph.node:
        node.metadata_props.add(key="stack", value="somewhere")
    onnx.save(model, tmp_path / "described.onnx")
    assert rtx_plans(tmp_path / "described.onnx", [target], [size]) == first
    weight = model.graph.initializer[0]
    weight.raw_data = b"\x01" + weight.raw_data[1:]
    onnx.save(model, tmp_path / "changed.onnx")
    assert rtx_plans(tmp_path / "changed.onnx", [target], [size]) != first


@needs_rtx
def test_a_refused_network_gives_the_builders_errors_and_leaves_nothing(
    own_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], resealed: Callable[..., Bundle]
) -> None:
    model = onnx.load(own_bundle / "model.onnx")
    model.graph.node[2].op_type = "ConvInteger"
    onnx.save(model, own_bundle / "model.onnx")
    resealed(own_bundle)
    with pytest.raises(BadInput, match=r"(?s)tensorrt_rtx refused .*model.onnx:.*ConvInteger") as caught:
        build(own_bundle, "tensorrt-rtx:sm86", tmp_path / "engine")
    assert "CUDA driver" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("model.onnx: infinite values were not looked for")
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@needs_rtx
def test_the_users_directory_does_not_shadow_the_builder(
    shared_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorrt_rtx.py", "polygraphy.py", "hardedge.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    build(shared_bundle, "tensorrt-rtx:sm86", Path("engine"))
    engine = load(Engine, tmp_path / "engine")
    assert (engine.builder, engine.builder_version) == ("tensorrt_rtx", version("tensorrt_rtx"))


@needs_no_tensorrt
def test_without_tensorrt_the_command_is_told(shared_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"pip install 'hardedge\[tensorrt\]'.*NVIDIA's.*GPU"):
        build(shared_bundle, "tensorrt", tmp_path / "engine")
    assert not (tmp_path / "engine").exists()


def test_wrong_use(shared_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no int8 model. It has: fp32"):
        build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine", precision="int8")
    with pytest.raises(BadInput, match="does not exist: no bundle.json"):
        build(tmp_path / "nothing", "onnxruntime:cpu", tmp_path / "engine")
    (tmp_path / "engine").mkdir()
    with pytest.raises(BadInput, match="exists. Give another --out, or --force"):
        build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine")
    engine = build(shared_bundle, "onnxruntime:cpu", tmp_path / "engine", force=True)
    assert sha256_of(tmp_path / "engine/model.onnx") == engine.files["model.onnx"]


def test_only_errors_are_kept_of_what_a_builder_prints() -> None:
    output = (
        "CUDA initialization failure: CUDA driver version is insufficient for CUDA runtime version\n"
        "[I] Building engine\n[W] something\n"
        "\x1b[31m[E] In node 3: no importer\x1b[0m\n[E] In node 3: no importer\n[!] Could not parse ONNX correctly\n"
    )
    assert builder_errors(output) == ["In node 3: no importer", "Could not parse ONNX correctly"]
    assert builder_errors("Traceback (most recent call last):\nValueError: no\n\n") == ["ValueError: no"]
    assert builder_errors("") == []
