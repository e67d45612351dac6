"""ONNX above protobuf's limit, which is lowered here: two files that belong together, read by what reads one."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Profile, sha256_of
from hardedge.deploy.bundles.validity import check_model, read_model
from hardedge.deploy.engines.build import rtx_digests
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.errors import BadInput
from hardedge.graphs import files as onnx_files
from hardedge.graphs.canonical import complexity_of, onnx_digest
from hardedge.graphs.probes import with_logits_output

SIZE = (1, 64, 96)


def network(shift: float = 0.0) -> onnx.ModelProto:
    """uint8 pixels to masks by way of 16 channels: 28 kB of weights, and a small bias."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(16, 3, 7, 7)).astype(np.float32)
    narrow = rng.normal(size=(5, 16, 7, 7)).astype(np.float32)
    narrow[0, 0, 0, 0] += shift
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["image_BCHW"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["image_BCHW", "wide"], ["features"], kernel_shape=[7, 7], pads=[3] * 4),
        helper.make_node("Conv", ["features", "narrow", "bias"], ["logits"], kernel_shape=[7, 7], pads=[3] * 4),
        helper.make_node("ArgMax", ["logits"], ["classes"], axis=1, keepdims=0),
        helper.make_node("Cast", ["classes"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["mask"], to=TensorProto.UINT8),
    ]
    weights = [
        numpy_helper.from_array(wide, "wide"),
        numpy_helper.from_array(narrow, "narrow"),
        numpy_helper.from_array(np.zeros(5, np.float32), "bias"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])
    mask = helper.make_tensor_value_info("mask", TensorProto.UINT8, ["batch", "height", "width"])
    graph = helper.make_graph(nodes, "large", [image], [mask], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(onnx_files, "LARGEST", 20_000)
    onnx_files.write_onnx(network(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_weights_are_beside_the_graph_and_come_back(large: Path) -> None:
    data = large.with_name("model.onnx.data")
    assert data.stat().st_size == 4 * (16 * 3 * 49 + 5 * 16 * 49)
    assert large.stat().st_size < 5_000
    back = onnx_files.read_onnx(large)
    assert [tensor.SerializeToString() for tensor in back.graph.initializer] == [
        tensor.SerializeToString() for tensor in network().graph.initializer
    ]
    assert not back.metadata_props
    onnx.checker.check_model(str(large), full_check=True)


def test_bytes_and_digest_are_those_of_the_weights(large: Path, tmp_path: Path) -> None:
    for name, shift in (("again", 0.0), ("other", 1e-3)):
        (tmp_path / name).mkdir()
        onnx_files.write_onnx(network(shift), tmp_path / name / "model.onnx")
    again, other = (tmp_path / name / "model.onnx" for name in ("again", "other"))
    assert sha256_of(again) == sha256_of(large)
    # the first file alone tells the weights apart: caches and manifests go by its digest
    assert sha256_of(other) != sha256_of(large)
    digests = [onnx_digest(onnx_files.read_onnx(path)) for path in (large, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_what_reads_one_file_reads_two(large: Path) -> None:
    image_BHWC = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    whole = onnxruntime.InferenceSession(network().SerializeToString())
    (expected_BHW,) = whole.run(["mask"], {"image": image_BHWC})
    check_model(large)
    np.testing.assert_array_equal(OnnxRuntimeRunner(large).masks(image_BHWC), expected_BHW)
    probe = with_logits_output(read_model(large))
    assert probe is not None
    session = onnx_files.open_session(probe)
    np.testing.assert_array_equal(session.run(["mask"], {"image": image_BHWC})[0], expected_BHW)
    counted = complexity_of(read_model(large), SIZE)
    assert (counted.parameters, counted.multiply_adds) == (16 * 3 * 49 + 5 * 16 * 49 + 5, 64 * 96 * 49 * (48 + 80))


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64")
def test_an_engine_of_two_files_is_that_of_one(large: Path, tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "whole.onnx")
    size = Profile(min=SIZE, opt=SIZE, max=SIZE)
    two, one = (rtx_digests(path, ["tensorrt-rtx:sm86"], [size]) for path in (large, tmp_path / "whole.onnx"))
    assert two == one


def test_a_copy_takes_its_weights_along(large: Path, tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    onnx_files.copy_onnx(large, tmp_path / "engine" / "renamed.onnx")
    assert sorted(path.name for path in (tmp_path / "engine").iterdir()) == ["model.onnx.data", "renamed.onnx"]
    check_model(tmp_path / "engine" / "renamed.onnx")


def missing(path: Path) -> None:
    path.with_name("model.onnx.data").unlink()


def changed(path: Path) -> None:
    data = path.with_name("model.onnx.data")
    data.write_bytes(b"\x01" + data.read_bytes()[1:])


def linked(path: Path) -> None:
    data = path.with_name("model.onnx.data")
    shutil.move(data, path.with_name("elsewhere"))
    data.symlink_to(path.with_name("elsewhere"))


def leading_outside(path: Path) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../model.onnx.data"
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("damage", [missing, changed, linked, leading_outside])
def test_weights_that_are_not_those_that_were_written_are_refused(large: Path, damage: Callable[[Path], None]) -> None:
    damage(large)
    with pytest.raises(BadInput, match=r"model\.onnx cannot be read as an ONNX file \(.*weights"):
        check_model(large)
