"""Networks that others exported: real exports of both exporters to a verified engine, and one message for the rest."""

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Bundle, Report, load
from hardedge.deploy.foreign.as_given import ReferenceSession, confidence_map, prepare_image, resize_bilinear
from hardedge.deploy.foreign.bundle import bundle_of_foreign
from hardedge.deploy.foreign.forms import OnnxInputSpec, foreign_form, foreign_pixels_to_mask, read_foreign
from hardedge.errors import BadInput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLORS = np.array([(70, 130, 180), (128, 64, 128), (0, 0, 142)], np.float32)  # of the tiny data set
FLAGS = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")

torch = pytest.importorskip("torch")


class Nearest(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Scores of the nearest colour, of normalised images; `stride` as a network's, `classes` more of no use."""

    def __init__(self, stride: int = 1, classes: int = 3, mask: bool = False, more: bool = False) -> None:
        super().__init__()
        self.stride, self.mask, self.more = stride, mask, more
        colors = torch.cat([torch.tensor(COLORS), torch.full((classes - 3, 3), -900.0)])
        weight = (2 * colors * 255 * torch.tensor(STD))[..., None, None]
        bias = 2 * (colors * 255 * torch.tensor(MEAN)).sum(1) - (colors**2).sum(1)
        self.score = torch.nn.Conv2d(3, classes, 1)
        self.score.weight.data, self.score.bias.data = weight / 1e4, bias / 1e4

    def forward(self, image_BCHW: Any) -> Any:
        if self.stride > 1:
            image_BCHW = torch.nn.functional.avg_pool2d(image_BCHW, self.stride)
        scores_BCHW = self.score(image_BCHW)
        if self.mask:
            return scores_BCHW.argmax(1)
        return (scores_BCHW, scores_BCHW.softmax(1)) if self.more else scores_BCHW


def exported(path: Path, module: Any, *, dynamo: bool, size: tuple[int, int] = (64, 96), **options: Any) -> Path:
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own
        torch.onnx.export(module.eval(), (example,), path, dynamo=dynamo, input_names=["x"], **options)
    return path


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
def test_a_foreign_network_becomes_a_verified_engine(
    dynamo: bool,
    shared_data: Path,
    tmp_path: Path,
    hardedge: Callable[..., CompletedProcess[str]],
) -> None:
    theirs = exported(tmp_path / "theirs.onnx", Nearest(stride=2), dynamo=dynamo, output_names=["logits"])
    gates = ("--max-miou-drop", "0.1", "--max-unseen", "40")
    arguments = ("--data", shared_data, "--target", "onnxruntime:cpu", "--latency", "0s", *gates)
    done = hardedge("deploy", theirs, "--out", tmp_path / "out", *FLAGS, *arguments)
    assert done.returncode == 0, done.stderr
    report = load(Report, tmp_path / "out/report")
    assert report.verdict == "pass"
    assert (report.network.name, report.loss) == ("theirs", "unknown (trained elsewhere)")
    (parity,) = report.parity
    assert (parity.status, parity.pixel_agreement, parity.difference) == ("pass", 1.0, 0.0)
    assert parity.miou > 60
    assert parity.deciles
    assert parity.stable is not None
    levels = report.certificate
    assert {levels.level0.status, levels.level1.status, levels.level2.status} == {"not run here"}
    assert "no checkpoint" in levels.level0.detail
    assert (levels.level0.plain_digest, levels.level1.plain) == (None, None)
    assert "no checkpoint" in (tmp_path / "out/report/report.html").read_text().lower()
    assert "no checkpoint" in (tmp_path / "out/report/junit.xml").read_text()
    assert report.audits[0].multiply_adds == {"fp32": 1.0}


def test_what_a_gate_asks_of_a_network_without_a_checkpoint_fails(
    shared_data: Path,
    tmp_path: Path,
    color_model: Callable[..., onnx.ModelProto],
    hardedge: Callable[..., CompletedProcess[str]],
) -> None:
    onnx.save(color_model(COLORS), tmp_path / "theirs.onnx")
    arguments = ("--data", shared_data, "--target", "onnxruntime:cpu", "--latency", "0s", "--require", "level0")
    done = hardedge("deploy", tmp_path / "theirs.onnx", "--out", tmp_path / "out", *arguments)
    assert done.returncode == 1
    assert "could not decide --require" in done.stderr
    again = bundle_of_foreign(tmp_path / "theirs.onnx", shared_data, tmp_path / "again", OnnxInputSpec())
    assert again.files["model.onnx"] == load(Bundle, tmp_path / "out/bundle").files["model.onnx"]


@pytest.mark.parametrize(
    ("stride", "mask", "size"), [(1, False, None), (1, True, None), (4, False, (32, 48)), (1, False, (48, 64))]
)
def test_every_form_gives_the_masks_of_the_file_itself(
    stride: int, mask: bool, size: tuple[int, int] | None, shared_data: Path, tmp_path: Path
) -> None:
    """A network of another size gets resized pixels, and its scores are resized back before the argmax."""
    module = Nearest(stride, mask=mask)
    path = exported(tmp_path / "theirs.onnx", module, dynamo=False, size=size or (64, 96), output_names=["found"])
    bundle = bundle_of_foreign(path, shared_data, tmp_path / "bundle", OnnxInputSpec(MEAN, STD))
    assert bundle.hardness == ("none" if mask else "confidence")
    assert bundle.reference.score.miou > 50
    assert bundle.logit_difference < 1e-4
    assert load(Bundle, tmp_path / "bundle") == bundle
    assert bundle.profile.min[0] == bundle.profile.max[0] == 1


def test_an_if_whose_branches_read_outer_values_is_deployed_as_it_was_given(shared_data: Path, tmp_path: Path) -> None:
    weight, bias = 2 * COLORS[..., None, None], -(COLORS**2).sum(1)

    def branch(name: str) -> onnx.GraphProto:
        inner = helper.make_node("Conv", ["x", "outer", "bias"], [name], kernel_shape=[1, 1])
        return helper.make_graph([inner], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])

    nodes = [
        helper.make_node("Identity", ["weight"], ["outer"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Size", ["shape"], ["rank"]),
        helper.make_node("Equal", ["rank", "four"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch("a"), else_branch=branch("b")),
    ]
    shape = ["batch", 3, "height", "width"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    weights = {"weight": weight, "bias": bias, "four": np.array(4)}
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "if.onnx")
    spec = OnnxInputSpec(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    bundle = bundle_of_foreign(tmp_path / "if.onnx", shared_data, tmp_path / "bundle", spec)
    assert bundle.reference.score.miou > 90
    assert bundle.model("fp32").census.operators["If"] == 1


def test_sizes_that_the_file_leaves_open_stay_open(shared_data: Path, tmp_path: Path) -> None:
    axes = {"x": {0: "b", 2: "h", 3: "w"}, "logits": {0: "b", 2: "h", 3: "w"}}
    path = exported(tmp_path / "theirs.onnx", Nearest(), dynamo=False, output_names=["logits"], dynamic_axes=axes)
    bundle = bundle_of_foreign(path, shared_data, tmp_path / "bundle", OnnxInputSpec(MEAN, STD))
    assert bundle.profile.max[0] == 4
    session = onnxruntime.InferenceSession(tmp_path / "bundle/model.onnx", providers=["CPUExecutionProvider"])
    (masks_BHW,) = session.run(None, {"image": np.zeros((3, 40, 56, 3), np.uint8)})
    assert (masks_BHW.shape, masks_BHW.dtype) == ((3, 40, 56), np.uint8)


def test_pixels_in_and_mask_out_needs_no_word(
    shared_data: Path, tmp_path: Path, color_model: Callable[..., onnx.ModelProto]
) -> None:
    onnx.save(color_model(COLORS), tmp_path / "theirs.onnx")
    bundle = bundle_of_foreign(tmp_path / "theirs.onnx", shared_data, tmp_path / "bundle", OnnxInputSpec())
    assert bundle.reference.score.miou > 60
    with pytest.raises(BadInput, match="takes pixels: leave out --mean"):
        bundle_of_foreign(tmp_path / "theirs.onnx", shared_data, tmp_path / "other", OnnxInputSpec(MEAN, STD))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("pixels", [True, False])
def test_a_file_that_takes_bgr_is_told_so(
    pixels: bool, shared_data: Path, tmp_path: Path, color_model: Callable[..., onnx.ModelProto]
) -> None:
    """Its channels are exchanged in the reference run and in the graph that ships, whose own image is RGB."""
    theirs, bgr = tmp_path / "theirs.onnx", COLORS[:, ::-1].copy()
    if pixels:
        onnx.save(color_model(bgr), theirs)
        given = OnnxInputSpec(channels="bgr")
    else:
        module = Nearest()
        weight, bias = 2 * bgr * 255 * STD[::-1], 2 * (bgr * 255 * MEAN[::-1]).sum(1) - (bgr**2).sum(1)
        module.score.weight.data = torch.tensor(weight, dtype=torch.float32)[..., None, None] / 1e4
        module.score.bias.data = torch.tensor(bias, dtype=torch.float32) / 1e4
        exported(theirs, module, dynamo=False, output_names=["logits"])
        given = OnnxInputSpec(MEAN[::-1], STD[::-1], channels="bgr")
    told = bundle_of_foreign(theirs, shared_data, tmp_path / "told", given)
    untold = bundle_of_foreign(theirs, shared_data, tmp_path / "untold", dataclasses.replace(given, channels=None))
    assert (told.channels, untold.channels) == ("bgr", "rgb")
    assert told.reference.score.miou > 99 > 80 > untold.reference.score.miou
    if not pixels:
        assert (told.normalisation.mean, told.normalisation.std) == (MEAN, STD)


def test_weights_beside_the_file_are_read_and_none_elsewhere(tmp_path: Path) -> None:
    path = exported(tmp_path / "theirs.onnx", Nearest(), dynamo=False, output_names=["logits"])
    model = onnx.load(path)
    (tmp_path / "in").mkdir()
    onnx.save(model, tmp_path / "in/big.onnx", save_as_external_data=True, location="big.data", size_threshold=0)
    assert [t.raw_data for t in read_foreign(tmp_path / "in/big.onnx").graph.initializer]
    outside = onnx.load(tmp_path / "in/big.onnx", load_external_data=False)
    outside.graph.initializer[0].external_data[0].value = "../secret"
    (tmp_path / "in/bad.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(BadInput, match="outside its folder"):
        read_foreign(tmp_path / "in/bad.onnx")


def model_of(kind: int, dims: list[Any], out_kind: int, *outputs: tuple[str, list[Any]], opset: int = 17) -> Any:
    """A model of these signatures; what is in it does not matter."""
    image = helper.make_tensor_value_info("x", kind, dims)
    infos = [helper.make_tensor_value_info(name, out_kind, shape) for name, shape in outputs]
    weights = [numpy_helper.from_array(np.zeros(1, np.float32), f"w{i}") for i in range(len(outputs))]
    nodes = [helper.make_node("Identity", [f"w{i}"], [name]) for i, (name, _) in enumerate(outputs)]
    graph = helper.make_graph(nodes, "g", [image], infos, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


F, U, I64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
FLOATS = [1, 3, "h", "w"]
SCORES = ("logits", [1, 3, "h", "w"])
NORMALISED = OnnxInputSpec(MEAN, STD)


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (model_of(F, FLOATS, F, ("logits", [1, 21, "h", "w"])), NORMALISED, r"21 classes, the data has 3"),
        (model_of(F, FLOATS, F, ("c", [1, 1, "h", "w"])), NORMALISED, r"one channel of floats, which is a sigmoid of"),
        (model_of(F, [1, "h", "w", 3], F, SCORES), NORMALISED, r"x float32 \[1,h,w,3\].*channels last"),
        (
            model_of(F, FLOATS, F, ("logits", [1, "h", "w", 3])),
            NORMALISED,
            r"channels last, expected scores \[B,3,h,w\]",
        ),
        (
            model_of(F, FLOATS, F, SCORES, ("aux", [1, 3, 9, 9])),
            NORMALISED,
            r"several outputs: logits .*aux .*--output",
        ),
        (model_of(F, FLOATS, F, SCORES), OnnxInputSpec(MEAN, STD, output="logit"), r"no output logit: it has logits"),
        (model_of(F, FLOATS, F, SCORES), OnnxInputSpec(), r"how its pixels are normalised, e.g. ImageNet's --mean"),
        (model_of(F, [1, 1, "h", "w"], F, SCORES), NORMALISED, r"expected float32 \[B,3,H,W\]"),
        (model_of(I64, FLOATS, F, SCORES), NORMALISED, r"x int64 .*expected float32 \[B,3,H,W\] or uint8"),
        (model_of(F, FLOATS, F, ("out", [1, 3])), NORMALISED, r"out float32 \[1,3\]: expected scores"),
        (model_of(F, FLOATS, I64, ("mask", [1, 2, 3, "h", "w"])), NORMALISED, r"expected classes \[B,H,W\]"),
        (
            model_of(F, [1, 3, 8, 8], F, SCORES),
            OnnxInputSpec(MEAN, STD, (9, 9)),
            r"has its size: leave out --input-size",
        ),
        (model_of(F, [2, 3, "h", "w"], F, SCORES), NORMALISED, r"batches of 2 only. Export it with a batch of 1"),
        (model_of(F, FLOATS, F, SCORES, opset=11), NORMALISED, r"opset 11: export it with opset 13"),
    ],
)
def test_what_is_not_taken_is_one_message_with_the_way_out(model: Any, given: OnnxInputSpec, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        foreign_form(model, given, 3, "theirs.onnx")
    assert str(caught.value).startswith("theirs.onnx cannot be deployed as it is:")
    assert "Taken: float [B,3,H,W]" in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    model = model_of(F, [1, "h", "w", 3], F, SCORES, ("aux", [1, 3, 9, 9]), opset=11)
    with pytest.raises(BadInput) as caught:
        foreign_form(model, OnnxInputSpec(), 3, "theirs.onnx")
    assert len(str(caught.value).splitlines()) == 5


def test_several_outputs_and_a_named_one(
    shared_data: Path, tmp_path: Path, hardedge: Callable[..., CompletedProcess[str]]
) -> None:
    names = ["logits", "shares"]
    path = exported(tmp_path / "theirs.onnx", Nearest(more=True), dynamo=False, output_names=names)
    arguments = ("--data", shared_data, "--out", tmp_path / "out", "--target", "onnxruntime:cpu", "--latency", "0s")
    done = hardedge("deploy", path, *arguments, *FLAGS)
    assert done.returncode == 2
    assert "several outputs: logits float32 [1,3,64,96], shares float32 [1,3,64,96]" in done.stderr
    assert "Traceback" not in done.stderr
    done = hardedge("deploy", path, *arguments, *FLAGS, "--output", "logits", "--max-unseen", "40", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "pass"
    model = onnx.load(tmp_path / "out/bundle/model.onnx")
    assert "Softmax" not in {node.op_type for node in model.graph.node}


def test_a_size_that_the_file_refuses_names_the_option(shared_data: Path, tmp_path: Path) -> None:
    path = exported(tmp_path / "theirs.onnx", Nearest(), dynamo=False, output_names=["logits"])
    model = onnx.load(path)
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "fixed"], ["fit"]))
    model.graph.node[1].input[0] = "fit"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 50, 50]), "fixed"))
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f"side {place}"
    onnx.save(model, path)
    with pytest.raises(BadInput, match="does not run on scene.*--input-size HEIGHTxWIDTH"):
        bundle_of_foreign(path, shared_data, tmp_path / "bundle", OnnxInputSpec(MEAN, STD))


def test_the_reference_resizes_as_torch_does() -> None:
    values_CHW = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    for size in ((14, 10), (3, 4), (7, 9), (1, 1)):
        expected = torch.nn.functional.interpolate(
            torch.tensor(values_CHW)[None], size=size, mode="bilinear", align_corners=False
        )[0].numpy()
        assert np.abs(resize_bilinear(values_CHW, size) - expected).max() < 1e-6


def test_the_reference_normalises_as_torchvision_does() -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    model = model_of(F, FLOATS, F, SCORES)
    form = foreign_form(model, NORMALISED, 3, "theirs.onnx")
    expected = (torch.tensor(image_HWC).permute(2, 0, 1) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    assert np.abs(prepare_image(image_HWC, form)[0] - expected.numpy()).max() < 1e-5


def test_confidence_stands_in_for_hardness() -> None:
    scores_CHW = np.array([[[0.0, 20.0]], [[0.0, 0.0]]], np.float32)
    assert confidence_map(scores_CHW).tolist() == [[128, 0]]


def test_scores_that_are_probabilities_are_taken_as_they_are() -> None:
    """A second softmax would call every pixel of 38 classes hard."""
    scores_CHW = np.random.default_rng(0).normal(0, 3, (38, 5, 7)).astype(np.float32)
    shares_CHW = np.exp(scores_CHW) / np.exp(scores_CHW).sum(0)
    expected_HW = np.rint(255 * (1 - shares_CHW.max(0)))
    assert np.abs(confidence_map(shares_CHW).astype(int) - expected_HW).max() <= 1
    assert np.abs(confidence_map(scores_CHW).astype(int) - expected_HW).max() <= 1


def test_a_wrong_description_of_the_input_is_noted(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx_file = exported(tmp_path / "theirs.onnx", Nearest(), dynamo=False)
    for given, noted in (
        (OnnxInputSpec(mean=MEAN, std=STD), False),
        (OnnxInputSpec(mean=(1, 1, 1), std=(0.01,) * 3), True),
    ):
        bundle_of_foreign(onnx_file, shared_data, tmp_path / f"bundle{noted}", given)
        assert ("the description of the input may be wrong" in capsys.readouterr().err) == noted


def test_a_mask_of_another_size_or_class_is_refused() -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("ConstantOfShape", ["k"], ["mask"])]
    nodes[1].attribute.append(helper.make_attribute("value", helper.make_tensor("v", I64, [1], [7])))
    image = helper.make_tensor_value_info("x", F, FLOATS)
    mask = helper.make_tensor_value_info("mask", I64, ["b", "h", "w"])
    weights = [numpy_helper.from_array(np.array([1, 4, 6]), "k")]
    graph = helper.make_graph(nodes, "g", [image], [mask], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    run = ReferenceSession(model, foreign_form(model, NORMALISED, 3, "theirs.onnx"), 3, "theirs.onnx")
    with pytest.raises(BadInput, match="the mask of a is 4x6, the image 8x8"):
        run(np.zeros((8, 8, 3), np.uint8), "a")
    with pytest.raises(BadInput, match="the mask of a has class 7, the data 0-2"):
        run(np.zeros((4, 6, 3), np.uint8), "a")


def small_model(nodes: list[onnx.NodeProto], image: onnx.ValueInfoProto, found: onnx.ValueInfoProto) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(np.array(-1.0, np.float32), "minus one")]
    graph = helper.make_graph(nodes, "g", [image], [found], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_scores_that_are_no_numbers_are_refused_before_anything_is_written(shared_data: Path, tmp_path: Path) -> None:
    """An argmax would make masks of them, and every later difference would be NaN."""
    nodes = [helper.make_node("Abs", ["x"], ["p"]), helper.make_node("Sub", ["minus one", "p"], ["n"])]
    nodes.append(helper.make_node("Log", ["n"], ["scores"]))
    value = helper.make_tensor_value_info
    onnx.save(small_model(nodes, value("x", F, FLOATS), value("scores", F, FLOATS)), tmp_path / "theirs.onnx")
    with pytest.raises(BadInput, match=r"theirs.onnx: its scores of \w+ are not finite \(NaN or infinite\)"):
        bundle_of_foreign(tmp_path / "theirs.onnx", shared_data, tmp_path / "bundle", NORMALISED)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.onnx"]


def test_negative_classes_are_named() -> None:
    nodes = [helper.make_node("ArgMax", ["x"], ["a"], axis=1, keepdims=0)]
    nodes += [helper.make_node("Cast", ["minus one"], ["i"], to=I64), helper.make_node("Add", ["a", "i"], ["mask"])]
    value = helper.make_tensor_value_info
    model = small_model(nodes, value("x", F, FLOATS), value("mask", I64, ["b", "h", "w"]))
    run = ReferenceSession(model, foreign_form(model, NORMALISED, 3, "theirs.onnx"), 3, "theirs.onnx")
    red_HWC = np.broadcast_to(np.array([255, 0, 0], np.uint8), (4, 6, 3))  # its first channel is the largest
    with pytest.raises(BadInput, match=r"the mask of a has class -1, the data 0-2\. Give the data"):
        run(red_HWC, "a")


def test_a_file_of_pixels_of_one_size_is_not_sent_to_an_option_that_it_refuses() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=F)]
    nodes.append(helper.make_node("Transpose", ["f"], ["scores"], perm=[0, 3, 1, 2]))
    value = helper.make_tensor_value_info
    model = small_model(nodes, value("x", TensorProto.UINT8, [1, 4, 6, 3]), value("scores", F, [1, 3, 4, 6]))
    run = ReferenceSession(model, foreign_form(model, OnnxInputSpec(), 3, "theirs.onnx"), 3, "theirs.onnx")
    assert run(np.zeros((4, 6, 3), np.uint8), "a").mask_HW.shape == (4, 6)
    with pytest.raises(BadInput, match=r"does not run on a, 8x8 .* A file that takes pixels must take every") as caught:
        run(np.zeros((8, 8, 3), np.uint8), "a")
    assert "--input-size" not in str(caught.value)


def test_the_graph_is_the_same_bytes_every_time() -> None:
    path_model = model_of(F, FLOATS, F, SCORES)
    form = foreign_form(path_model, NORMALISED, 3, "theirs.onnx")
    first, second = (
        foreign_pixels_to_mask(path_model, form, True).SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == second
    assert b"around" not in first


def test_builds_of_a_foreign_network_are_compared_with_a_plain_one(
    shared_data: Path,
    shared_bundle: Path,
    tmp_path: Path,
    color_model: Callable[..., onnx.ModelProto],
    hardedge: Callable[..., CompletedProcess[str]],
) -> None:
    """The one given has a branch in it as an extra output, which is taken out: the rest is as fast as the plain one."""
    onnx.save(color_model(COLORS, branch=True), tmp_path / "theirs.onnx")
    job = ("--data", shared_data, "--out", tmp_path / "out", "--target", "onnxruntime:cpu", "--latency", "12s")
    more = ("--output", "mask", "--builds", "5", "--plain", shared_bundle / "model.onnx")
    done = hardedge("deploy", tmp_path / "theirs.onnx", *job, *more)
    assert done.returncode == 0, done.stderr
    level2 = load(Report, tmp_path / "out/report").certificate.level2
    assert level2.shipped is not None
    assert level2.shipped.arm == "the shipped network over the plain one, 5 builds an arm for onnxruntime:cpu"
    assert level2.status == level2.shipped.status
    assert level2.shipped.sessions == 5
    assert 0.5 < level2.shipped.ratio < 2  # the branch costs ten times the network
    assert level2.noise_floor is not None
    assert level2.noise_floor.arm == "the file against itself, 5 builds an arm for onnxruntime:cpu"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--precision", "fp16"), "--precision fp16: theirs.onnx is built in the types that it has"),
        (("--mean", "1,2"), "is not three numbers. Write them as 0.485,0.456,0.406"),
        (("--mean", "nan,0,0"), "is not three numbers"),
        (("--mean", "0,0,0", "--std", "1,0,1"), "--std 1.0,0.0,1.0: expected numbers above 0"),
        (
            ("--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"),
            "Of pixels in 0..255 these are --mean 0.485,0.456,0.406.",
        ),
        (("--input-size", "512"), "is no size. Write it as 512x1024, height first"),
        (("--builds", "4"), "--builds"),
        (("--output", "missing"), "no output missing: it has mask uint8 [batch,height,width]"),
    ],
)
def test_wrong_use_is_one_message(
    arguments: tuple[str, ...],
    said: str,
    shared_data: Path,
    tmp_path: Path,
    color_model: Callable[..., onnx.ModelProto],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from hardedge.cli import main

    onnx.save(color_model(COLORS), tmp_path / "theirs.onnx")
    monkeypatch.chdir(tmp_path)
    job = ["hardedge", "deploy", "theirs.onnx", "--data", str(shared_data), "--out", "out", "--target"]
    monkeypatch.setattr("sys.argv", [*job, "onnxruntime:cpu", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert said in printed.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "out") == ["theirs.onnx"]
    assert not list((tmp_path / "out").glob("*"))
