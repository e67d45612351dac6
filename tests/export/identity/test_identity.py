"""The certificate fails for whatever was changed or left in, though the manifest was hashed again."""

import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, load, read_json, seal
from hardedge.errors import BadInput, Unavailable
from hardedge.export.identity import certificate as identity
from hardedge.export.identity.certificate import certify, compare_files
from hardedge.export.stage import export
from hardedge.graphs.canonical import canonical_form

ONE_TARGET = ("tensorrt-rtx:sm86",)


def one_weight(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.01
    tensor.raw_data = values.tobytes()


def a_branch_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 8, 1, 1), np.float32), "hardness.weight"))


def an_idle_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.node[-1].input[0]], ["idle"]))


def a_branch(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", [model.graph.node[-1].input[0]], ["hardness"]))
    model.graph.output.append(helper.make_tensor_value_info("hardness", TensorProto.FLOAT16, ["b", "h", "w"]))


Tamper = Callable[[onnx.ModelProto], None]


def tampered(path: Path, tamper: Tamper) -> onnx.ModelProto:
    model = onnx.load(path)
    tamper(model)
    return model


@pytest.mark.parametrize(
    ("tamper", "level1"),
    [(one_weight, "identical"), (a_branch_weight, "different"), (an_idle_node, "different"), (a_branch, "different")],
)
def test_tampering_shows(bundle: Path, tmp_path: Path, tamper: Tamper, level1: str) -> None:
    onnx.save(canonical_form(onnx.load(bundle / "model.onnx")), tmp_path / "plain.onnx")
    onnx.save(tampered(bundle / "model.onnx", tamper), tmp_path / "shipped.onnx")
    profile = load(Bundle, bundle).profile
    certificate = compare_files(tmp_path / "shipped.onnx", tmp_path / "plain.onnx", profile, targets=())
    assert certificate.level0.status == "different"
    assert certificate.level0.shipped_digest != certificate.level0.plain_digest
    assert certificate.level1.status == level1
    assert certificate.level0.rtx_engines.status == "not run here"


def test_engines_differ_by_one_weight(bundle: Path, tmp_path: Path) -> None:
    onnx.save(tampered(bundle / "model.onnx", one_weight), tmp_path / "shipped.onnx")
    certificate = compare_files(
        tmp_path / "shipped.onnx", bundle / "model.onnx", load(Bundle, bundle).profile, ONE_TARGET
    )
    assert certificate.level0.rtx_engines.status == "different"
    assert certificate.level0.rtx_engines.detail == "the engines differ for tensorrt-rtx:sm86 at 1x64x96"
    assert certificate.level0.engines[0].shipped != certificate.level0.engines[0].plain


@pytest.mark.parametrize(
    ("shipped", "plain", "status", "detail"),
    [
        ("1111", "2222", "different", "the engines differ for tensorrt-rtx:sm86"),
        ("1212", "3112", "identical", "among several builds, as one file gives more than one engine"),
        ("1112", "3333", "inconclusive", "the builder gives other bytes from build to build of one file"),
        ("1", "1", "identical", "equal byte for byte for 1 targets at 1x64x96"),
    ],
)
def test_a_builder_that_varies_is_asked_again(
    shipped: str, plain: str, status: str, detail: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake builds: TensorRT-RTX gives one of a few engines for some graphs, such as those with several outputs."""
    builds = {"shipped": itertools.cycle(shipped), "plain": itertools.cycle(plain)}
    for name in builds:
        shutil.copyfile(bundle / "model.onnx", tmp_path / f"{name}.onnx")

    def fake(onnx: Path, targets: Sequence[str], **_: object) -> dict[str, str]:
        return {target: next(builds[onnx.stem]) for target in targets}

    monkeypatch.setattr(identity, "rtx_digests", fake)
    profile = load(Bundle, bundle).profiles[0]
    certificate = compare_files(tmp_path / "shipped.onnx", tmp_path / "plain.onnx", profile, ONE_TARGET)
    assert certificate.level0.rtx_engines.status == status
    assert detail in certificate.level0.rtx_engines.detail
    arms = certificate.level0.engines[0]
    assert (arms.shipped == arms.plain) == (status == "identical")


def test_missing_builder_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> dict[str, str]:
        raise Unavailable("tensorrt_rtx is not installed.")

    monkeypatch.setattr(identity, "rtx_digests", missing)
    certificate = compare_files(bundle / "model.onnx", bundle / "model.onnx", load(Bundle, bundle).profile)
    assert certificate.level0.status == "identical"
    assert certificate.level0.rtx_engines.status == "not run here"
    assert certificate.level0.rtx_engines.detail == "tensorrt_rtx is not installed."
    assert certificate.level0.engines == ()


@pytest.fixture
def own_bundle(own_module: None, make_checkpoint: Callable[..., Path], data: Path, tmp_path: Path) -> Path:
    source = make_checkpoint(tmp_path / "checkpoint", data, "tiny_segmenter:build")
    export(source, data, tmp_path / "bundle", allow_code=True)
    return tmp_path / "bundle"


def reseal_with(bundle: Path, tamper: Tamper) -> Path:
    onnx.save(tampered(bundle / "model.onnx", tamper), bundle / "model.onnx")
    seal(bundle, read_json(Bundle, bundle / Bundle.FILE))
    load(Bundle, bundle)
    return bundle / "model.onnx"


def test_certify_finds_a_branch_weight_in_a_resealed_bundle(own_bundle: Path, tmp_path: Path) -> None:
    model = reseal_with(own_bundle, a_branch_weight)
    certificate = certify(model, tmp_path / "checkpoint", targets=ONE_TARGET, allow_code=True)
    assert (certificate.level0.status, certificate.level1.status) == ("different", "different")
    assert certificate.level1.shipped.parameters == certificate.level1.plain.parameters + 8
    # TensorRT drops an unused weight: only the file tells
    assert certificate.level0.rtx_engines.status == "identical"


@pytest.mark.slow
@pytest.mark.parametrize("tamper", [one_weight, an_idle_node, a_branch])
def test_certify_finds_it_in_a_resealed_bundle(own_bundle: Path, tmp_path: Path, tamper: Tamper) -> None:
    shutil.copytree(own_bundle, tmp_path / "clean")
    assert (
        certify(tmp_path / "clean" / "model.onnx", tmp_path / "checkpoint", allow_code=True).level0.status
        == "identical"
    )
    certificate = certify(reseal_with(own_bundle, tamper), tmp_path / "checkpoint", targets=ONE_TARGET, allow_code=True)
    assert certificate.level0.status == "different"


def test_what_is_not_ours_is_refused(bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:5000])
    with pytest.raises(BadInput, match="broken.onnx is not a valid ONNX file"):
        certify(tmp_path / "broken.onnx", checkpoint)
    with pytest.raises(BadInput, match=r"nothing.onnx is no file\. Give the path of an ONNX file"):
        certify(tmp_path / "nothing.onnx", checkpoint)
    onnx.save(canonical_form(onnx.load(bundle / "model.onnx")), tmp_path / "foreign.onnx")
    with pytest.raises(BadInput, match="names no profiles"):
        certify(tmp_path / "foreign.onnx", checkpoint)
