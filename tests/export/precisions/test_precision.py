"""Files of other precisions: typed as they say, near FP32, legal for TensorRT, the same bytes everywhere."""

import re
import shutil
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from hardedge.contracts import Bundle, Conversion, ModelFile, load
from hardedge.data.decoding import read_image, read_mask
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput, Unavailable
from hardedge.export.precisions import convert as conversion
from hardedge.export.precisions import write as precisions
from hardedge.export.precisions.accuracy import PrecisionReference, measure_agreement
from hardedge.export.precisions.convert import convert
from hardedge.export.precisions.coverage import kept_nodes
from hardedge.export.precisions.legality import legality_findings
from hardedge.export.precisions.table import precisions_text
from hardedge.export.stage import Precisions, export
from hardedge.graphs.canonical import onnx_digest

LOW = ("fp16", "bf16", "int8", "fp8")
TYPES = {
    "fp16": {TensorProto.FLOAT16},
    # Hardswish's constants are in the operator, the transposed convolution's weights stay FP32
    "bf16": {TensorProto.BFLOAT16, TensorProto.FLOAT},
    "int8": {TensorProto.FLOAT16, TensorProto.INT8},
    "fp8": {TensorProto.FLOAT16, TensorProto.FLOAT8E4M3FN},
}


@pytest.fixture(scope="module")
def small(typed_bundle: Path) -> Path:
    return typed_bundle.parent / "checkpoint"


@pytest.fixture(scope="module")
def bundle(typed_bundle: Path) -> Path:
    return typed_bundle


def conversion_of(bundle: Path, precision: str) -> tuple[ModelFile, Conversion]:
    model = load(Bundle, bundle).model(precision)
    assert model.conversion is not None
    return model, model.conversion


def images_of(bundle: Path) -> list[Path]:
    return sorted((bundle / "calibration").glob("*.png"))


def test_the_bundle_knows_every_file_and_its_calibration(bundle: Path, data: Path) -> None:
    manifest, dataset = load(Bundle, bundle), open_dataset(data)
    assert [model.precision for model in manifest.models] == ["fp32", *LOW]
    assert manifest.model("fp32").conversion is None
    assert manifest.calibration is not None
    assert (manifest.calibration.by, len(manifest.calibration.images)) == ("stratified", 3)
    for id in manifest.calibration.images:
        assert id in dataset.splits["train"]
        np.testing.assert_array_equal(read_image(bundle / "calibration" / f"{id}.png"), dataset.image(id))
    assert {f"model.{precision}.onnx" for precision in LOW} < set(manifest.files)


@pytest.mark.parametrize("precision", LOW)
def test_a_file_is_typed_and_its_edges_are_ours(bundle: Path, precision: str) -> None:
    entry, _ = conversion_of(bundle, precision)
    model = onnx.load(bundle / entry.path)
    onnx.checker.check_model(model, full_check=True)
    assert legality_findings(model) == []
    assert onnx_digest(model) == entry.onnx_digest
    assert entry.census.inputs == ("image uint8 [batch,height,width,3]",)
    assert entry.census.outputs == ("mask uint8 [batch,height,width]",)
    floats = {tensor.data_type for tensor in model.graph.initializer} - {TensorProto.INT64}
    assert floats == TYPES[precision]


@pytest.mark.parametrize("precision", LOW)
def test_a_file_tells_the_facts_and_nothing_of_its_making(bundle: Path, precision: str) -> None:
    model, fp32 = (onnx.load(bundle / name) for name in (f"model.{precision}.onnx", "model.onnx"))
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        entry.key: entry.value for entry in fp32.metadata_props
    }
    names = [name for node in model.graph.node for name in (node.name, *node.input, *node.output)]
    assert all(re.fullmatch(r"[nv]\d+|image|mask|", name) for name in names)
    assert (model.producer_name, model.doc_string) == ("", "")
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert str(bundle.parent).encode() not in model.SerializeToString()


@pytest.mark.parametrize(("precision", "kind"), [("int8", TensorProto.INT8), ("fp8", TensorProto.FLOAT8E4M3FN)])
def test_weights_have_a_scale_a_channel_and_no_zero_point(bundle: Path, precision: str, kind: int) -> None:
    model = onnx.load(bundle / f"model.{precision}.onnx")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    quantisers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    of_weights = [node for node in quantisers if node.input[0] in weights]
    assert of_weights
    assert len(quantisers) > len(of_weights)
    for node in quantisers:
        scale, zero = (weights[name] for name in node.input[1:3])
        assert zero.data_type == kind
        assert not np.any(numpy_helper.to_array(zero).astype(np.float32))
        if node in of_weights:
            stored = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
            axes = tuple(axis for axis in range(stored.ndim) if axis != node.attribute[0].i)
            # Model Optimizer's FP8 scales are INT8's times 448/127: weights reach 36 of 448
            largest = {"int8": 127, "fp8": 127 * 127 / 448}[precision]
            # half a step of FP16 for the weight and half a one for the scale; half of its smallest number
            np.testing.assert_allclose(
                numpy_helper.to_array(scale).astype(np.float32), np.abs(stored).max(axes) / largest, 2**-10, 2**-25
            )
        else:
            assert list(scale.dims) == []


@pytest.mark.parametrize("precision", ["fp16", "int8", "fp8"])
def test_masks_are_near_fp32s_in_onnxruntime_itself(bundle: Path, precision: str) -> None:
    manifest = load(Bundle, bundle)
    session = onnxruntime.InferenceSession(
        str(bundle / manifest.model(precision).path), providers=["CPUExecutionProvider"]
    )
    shares = []
    for id in manifest.golden:
        (mask_BHW,) = session.run(None, {"image": read_image(bundle / "golden" / "images" / f"{id}.png")[None]})
        shares.append(np.mean(mask_BHW[0] == read_mask(bundle / "golden" / "masks" / f"{id}.png")))
    # random weights make close calls of every tenth pixel: a broken file agrees by chance, on a third
    assert np.mean(shares) > {"fp16": 0.99, "int8": 0.85, "fp8": 0.85}[precision]


@pytest.mark.parametrize("precision", LOW)
def test_the_record_fits_the_test_split(bundle: Path, data: Path, precision: str) -> None:
    manifest, dataset = load(Bundle, bundle), open_dataset(data)
    found = conversion_of(bundle, precision)[1].agreement
    assert found.images == len(dataset.splits["test"]) == 10
    assert found.miou_reference == pytest.approx(manifest.reference.score.miou)
    assert found.difference == pytest.approx(found.miou - found.miou_reference)
    assert found.interval.low <= found.difference <= found.interval.high
    assert 0 < found.logit_rms < found.logit_difference < found.logit_largest
    assert {"fp16": 0.99, "bf16": 0.95, "int8": 0.85, "fp8": 0.85}[precision] < found.pixel_agreement < 1


def test_fp16_is_nearer_than_bf16_and_both_than_eight_bits(bundle: Path) -> None:
    rms = {precision: conversion_of(bundle, precision)[1].agreement.logit_rms for precision in LOW}
    # three bits fewer are a step eight times as coarse
    assert rms["bf16"] > 4 * rms["fp16"]
    assert min(rms["int8"], rms["fp8"]) > 2 * rms["fp16"]


def test_what_stayed_higher_is_named_with_its_reason(bundle: Path) -> None:
    kept = {precision: conversion_of(bundle, precision)[1].kept for precision in LOW}
    assert kept["fp16"] == ()
    assert sorted((node.operator, node.precision) for node in kept["bf16"]) == [
        ("ConvTranspose", "fp32"),
        ("HardSwish", "fp32"),
    ]
    assert {node.why for node in kept["bf16"]} == {"TensorRT has no BF16 form of it"}
    fp32 = {node.name: node.op_type for node in onnx.load(bundle / "model.onnx").graph.node}
    for precision, nodes in kept.items():
        names = {node.name: node.op_type for node in onnx.load(bundle / f"model.{precision}.onnx").graph.node}
        for node in nodes:
            assert names[node.node] == fp32[node.source] == node.operator
    assert "Conv" in {node.operator for node in kept["fp8"]}  # three channels in


def test_multiply_adds_are_all_accounted_for(bundle: Path) -> None:
    total = load(Bundle, bundle).model("fp32").census.multiply_adds
    for precision in LOW:
        entry, made = conversion_of(bundle, precision)
        assert sum(made.multiply_adds.values()) == entry.census.multiply_adds == total
        higher = sum(node.multiply_adds for node in made.kept)
        assert made.multiply_adds[precision] == total - higher
    assert conversion_of(bundle, "fp16")[1].multiply_adds == {"fp16": total}
    assert 0 < conversion_of(bundle, "bf16")[1].multiply_adds["fp32"] < total


def test_logits_are_never_quantised(bundle: Path) -> None:
    model = onnx.load(bundle / "model.int8.onnx")
    made_by = {name: node for node in model.graph.node for name in node.output}
    node = next(node for node in model.graph.node if node.op_type == "ArgMax")
    passed = []
    while node.op_type != "Conv":
        node = made_by[node.input[0]]
        passed.append(node.op_type)
    assert passed == ["Resize", "Conv"]
    assert made_by[node.input[0]].op_type == "DequantizeLinear"


def test_engines_are_built_for_every_target_that_can_hold_them(bundle: Path) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    built = {}
    for precision in LOW:
        engines = conversion_of(bundle, precision)[1].engines
        built[precision] = [engine.target.removeprefix("tensorrt-rtx:sm") for engine in engines if not engine.detail]
        assert all((engine.status == "built") == (not engine.detail) for engine in engines)
    everywhere = ["75", "80", "86", "89", "120", "121"]
    assert built == {"fp16": everywhere, "bf16": everywhere[1:], "int8": everywhere, "fp8": everywhere[3:]}


def test_the_table_says_it_all(bundle: Path) -> None:
    text = precisions_text(load(Bundle, bundle))
    assert re.search(
        r"^fp16 +100\.0 % .* on 10 images: (pass|inconclusive|fail) \(0\.1 points\) +6 of 6$", text, re.MULTILINE
    )
    assert re.search(
        r"^bf16: 1 HardSwish, 1 ConvTranspose in fp32 \(.*\): TensorRT has no BF16 form of it$", text, re.M
    )
    assert "fp8: tensorrt-rtx:sm75, tensorrt-rtx:sm80, tensorrt-rtx:sm86 not built (FP8 needs SM89 or later)" in text
    assert "a check of the conversion, not of a GPU" in text


@pytest.mark.parametrize("precision", [pytest.param("fp16", marks=pytest.mark.slow), "int8"])
def test_another_process_and_folder_give_the_same_bytes(bundle: Path, tmp_path: Path, precision: str) -> None:
    shutil.copytree(bundle / "calibration", tmp_path / "elsewhere")
    source = tmp_path / "another name.onnx"
    shutil.copyfile(bundle / "model.onnx", source)
    again = convert(source, precision, sorted((tmp_path / "elsewhere").glob("*.png")))
    assert onnx_digest(again.model) == conversion_of(bundle, precision)[0].onnx_digest
    # the quantiser would write over the file that it is given
    assert source.read_bytes() == (bundle / "model.onnx").read_bytes()


def amplified(bundle: Path, folder: Path, factor: float, name: str = "model.onnx") -> Path:
    """A file of the bundle with its first convolution's results, and so all features, times a factor."""
    model = onnx.load(bundle / name)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    for tensor in model.graph.initializer:
        if tensor.name in first.input[1:]:
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array((np.float32(factor) * values).astype(values.dtype), tensor.name))
    onnx.save(model, folder / name)
    return folder / name


def test_values_too_coarse_for_fp16_stay_fp32_with_their_size(bundle: Path, tmp_path: Path) -> None:
    source = amplified(bundle, tmp_path, 3000)
    converted = convert(source, "fp16", images_of(bundle))
    kept = kept_nodes(converted, "fp16", (1, 64, 96))
    assert {"Conv", "HardSwish"} <= {node.operator for node in kept}
    for node in kept:
        assert re.fullmatch(r"values up to [\de+.]+ on the calibration images, above 512", node.why)
        assert node.precision == "fp32"


@pytest.mark.parametrize("precision", ["int8", pytest.param("fp8", marks=pytest.mark.slow)])
def test_values_beyond_fp16_stay_fp32_beside_eight_bits(
    bundle: Path, data: Path, tmp_path: Path, precision: str
) -> None:
    source = amplified(bundle, tmp_path, 1e7)
    converted = convert(source, precision, images_of(bundle))
    kept = {node.source: node for node in kept_nodes(converted, precision, (1, 64, 96)) if node.precision == "fp32"}
    large = [node.name for node in onnx.load(source).graph.node if node.op_type in ("Conv", "HardSwish")]
    assert {"Conv", "HardSwish"} <= {node.operator for node in kept.values()}
    assert large[0] in kept
    for node in kept.values():
        assert re.fullmatch(r"values up to [\de+.]+ on the calibration images, above 32752", node.why)
    # the weights that FP16 cannot hold are those of the source
    weights = [numpy_helper.to_array(tensor) for tensor in converted.model.graph.initializer]
    largest = max(float(np.abs(value).max()) for value in weights if value.dtype == np.float32)
    exact = [numpy_helper.to_array(tensor) for tensor in onnx.load(source).graph.initializer]
    assert largest == max(float(np.abs(value).max()) for value in exact if value.dtype == np.float32) > 65504
    found = measure_agreement(converted.model, precision, reference_of(source, bundle, data))
    assert found.logit_difference < 0.1 * found.logit_largest


def reference_of(source: Path, bundle: Path, data: Path) -> PrecisionReference:
    dataset = open_dataset(data)
    ids = dataset.splits["test"]
    return PrecisionReference(onnx.load(source), [dataset.image(ids[0])], dataset, bundle / "reference" / "masks", ids)


def test_values_beyond_what_calibration_saw_fail_the_check(bundle: Path, data: Path, tmp_path: Path) -> None:
    source = amplified(bundle, tmp_path, 1e5)
    # as if the file had been made from images without these values
    unaware = onnx.load(amplified(bundle, tmp_path, 1e5, "model.fp16.onnx"))
    with pytest.raises(
        BadInput, match=r"fp16: the converted network's logits are not finite.*Leave this precision out"
    ):
        measure_agreement(unaware, "fp16", reference_of(source, bundle, data))


def test_channels_of_almost_nothing_do_not_make_scales_of_zero(bundle: Path, tmp_path: Path) -> None:
    """Weight decay leaves such channels behind a BatchNorm; FP16 has no number for their scales."""
    model = onnx.load(bundle / "model.onnx")
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    for tensor in model.graph.initializer:
        if tensor.name == convolution.input[1]:
            weight = numpy_helper.to_array(tensor).copy()
            weight[0], weight[1] = 0, 1e-11
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, tmp_path / "model.onnx")
    converted = convert(tmp_path / "model.onnx", "int8", images_of(bundle))
    assert legality_findings(converted.model) == []


@pytest.mark.slow
def test_nothing_is_written_when_a_precision_fails(
    small: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> NoReturn:
        raise BadInput("fp16: refused")

    monkeypatch.setattr(precisions, "convert", failing)
    with pytest.raises(BadInput, match="fp16: refused"):
        export(small, data, tmp_path / "bundle", precisions=Precisions(names=("fp16",)), allow_code=True)
    assert list(tmp_path.iterdir()) == []


def test_without_model_optimizer_the_command_to_add_it_is_told(
    small: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "NEEDED", {"no_such_module": "nvidia-modelopt"})
    with pytest.raises(Unavailable, match=r"nvidia-modelopt is not installed.*pip install 'hardedge\[export\]'"):
        export(small, data, tmp_path / "bundle", precisions=Precisions(names=("fp16",)), allow_code=True)
    assert not (tmp_path / "bundle").exists()


def test_a_converter_that_fails_is_quoted(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"fp16: Model Optimizer could not convert the network: \w+"):
        convert(tmp_path / "broken.onnx", "fp16", images_of(bundle))
