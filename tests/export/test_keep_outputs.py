"""An ONNX file cut down to its logits computes what it did, and what went is counted."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.errors import BadInput
from hardedge.export.keep_outputs import keep_outputs, kept_outputs_text
from hardedge.graphs import files as onnx_files

SIZE = (1, 16, 24)


def weights(name: str, *shape: int) -> onnx.TensorProto:
    rng = np.random.default_rng(len(name))
    return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Logits from features, and a hardness branch on them."""
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["features"], "stem", **pads),
        helper.make_node("Conv", ["features", "head"], ["logits"], "head", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["features", "branch"], ["raw"], "branch", **pads),
        helper.make_node("Sigmoid", ["raw"], ["hardness"], "sigmoid"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", 3, "h", "w"])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", channels, "h", "w"])
        for name, channels in (("logits", 5), ("hardness", 1))
    ]
    tensors = [weights("stem", 8, 3, 3, 3), weights("head", 5, 8, 1, 1), weights("branch", 1, 8, 3, 3)]
    graph = helper.make_graph(nodes, "theirs", [image], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "theirs.onnx")
    return tmp_path / "theirs.onnx"


def test_the_logits_stay_and_what_only_the_branch_needed_goes(theirs: Path, tmp_path: Path) -> None:
    kept = keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", SIZE)
    assert kept.removed_outputs == ("hardness",)
    assert kept.removed_nodes == ("branch", "sigmoid")
    assert kept.removed_parameters == 8 * 9
    assert kept.parameters == 8 * 3 * 9 + 5 * 8
    assert kept.removed_multiply_adds == 16 * 24 * 8 * 9
    assert kept.multiply_adds == 16 * 24 * (8 * 3 * 9 + 5 * 8)
    image_BCHW = np.random.default_rng(0).normal(size=(1, 3, 16, 24)).astype(np.float32)
    before = onnxruntime.InferenceSession(theirs).run(["logits"], {"image": image_BCHW})
    after = onnxruntime.InferenceSession(tmp_path / "plain.onnx").run(None, {"image": image_BCHW})
    assert len(after) == 1
    np.testing.assert_array_equal(after[0], before[0])


def test_outputs_that_are_not_there_and_none_of_several_are_refused(theirs: Path, tmp_path: Path) -> None:
    listing = r"logits \[b,5,h,w\] of Conv head, hardness \[b,1,h,w\] of Sigmoid sigmoid"
    with pytest.raises(BadInput, match=f"has no output logit. It has: {listing}"):
        keep_outputs(theirs, ("logit",), tmp_path / "plain.onnx", SIZE)
    with pytest.raises(BadInput, match=f"has several outputs: {listing}. Name the logits: --keep NAME"):
        keep_outputs(theirs, (), tmp_path / "plain.onnx", SIZE)
    theirs.write_bytes(b"\x08 no")
    with pytest.raises(BadInput, match="is not a valid ONNX file"):
        keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", SIZE)
    assert not (tmp_path / "plain.onnx").exists()


def test_folders_are_made_an_output_named_twice_is_one_and_no_file_is_replaced(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "plain.onnx"
    assert keep_outputs(theirs, ("logits", "logits"), out, SIZE).outputs == ("logits",)
    assert [value.name for value in onnx.load(out).graph.output] == ["logits"]
    with pytest.raises(BadInput, match=r"plain\.onnx exists\. Remove it first"):
        keep_outputs(theirs, ("logits",), out, SIZE)
    with pytest.raises(BadInput, match=r"theirs\.onnx is a file: nothing can be written below it"):
        keep_outputs(theirs, ("logits",), theirs / "plain.onnx", SIZE)


def test_weights_that_onnx_cannot_check_are_refused(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "LARGEST", 100)
    with pytest.raises(BadInput, match=r"what is kept of .*theirs\.onnx has weights above 2 GiB"):
        keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", SIZE)
    assert not (tmp_path / "plain.onnx").exists()


def changed(path: Path, node: str, operator: str, domain: str = "") -> None:
    """The file with another operator in a node."""
    model = onnx.load(path)
    for one in model.graph.node:
        if one.name == node:
            one.op_type, one.domain = operator, domain
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("operator", "domain", "said"),
    [
        ("Convolve", "", "node head: Convolve of ai.onnx opset 20"),
        ("NhwcConv", "com.microsoft", "node head: NhwcConv of com.microsoft opset 1"),
    ],
)
def test_operators_that_onnx_does_not_have_are_named_and_nothing_is_written(
    theirs: Path, tmp_path: Path, operator: str, domain: str, said: str
) -> None:
    changed(theirs, "head", operator, domain)
    with pytest.raises(BadInput) as caught:
        keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", SIZE)
    assert "has operators that ONNX does not have" in str(caught.value)
    assert said in str(caught.value)
    assert not (tmp_path / "plain.onnx").exists()


def test_unknown_operators_that_are_cut_off_do_not_matter(theirs: Path, tmp_path: Path) -> None:
    changed(theirs, "sigmoid", "Squash", "theirs.plugins")
    kept = keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", SIZE)
    assert kept.removed_nodes == ("branch", "sigmoid")
    assert kept.removed_multiply_adds is None
    assert kept.multiply_adds == 16 * 24 * (8 * 3 * 9 + 5 * 8)
    assert "unknown multiply-adds at 1x16x24" in kept_outputs_text(kept, tmp_path / "plain.onnx")


def test_a_size_that_the_graph_does_not_take_is_told_and_nothing_is_written(theirs: Path, tmp_path: Path) -> None:
    model = onnx.load(theirs)
    model.graph.node[0].attribute[1].ints[:] = [0, 0, 0, 0]
    onnx.save(model, theirs)
    with pytest.raises(BadInput, match="the graph does not run at 1x2x2"):
        keep_outputs(theirs, ("logits",), tmp_path / "plain.onnx", (1, 2, 2))
    assert not (tmp_path / "plain.onnx").exists()
