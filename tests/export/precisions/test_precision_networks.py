"""Networks of different make through every precision: attention, aggregation, dilation, many branches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hardedge.contracts import Bundle, NetworkSpec, Normalisation, Profile
from hardedge.deploy.precisions import cannot_hold
from hardedge.export.graph.pixels_to_mask import PixelsToMask, onnx_from_network, shipped_module
from hardedge.export.precisions.accuracy import session_for
from hardedge.export.precisions.convert import convert
from hardedge.export.precisions.coverage import UNTOLD
from hardedge.export.precisions.legality import legality_findings
from hardedge.export.stage import Precisions, export
from hardedge.graphs.rounding import rounded_form
from hardedge.models import build_network

LOW = ("fp16", "bf16", "int8", "fp8")
# the smallest share of the multiply-adds in each precision: docs/precision.md has what was reached
SHARES = {
    "bisenetv2": {"fp16": 1.0, "bf16": 1.0, "int8": 0.99, "fp8": 0.95},
    "segformer_b0": {"fp16": 1.0, "bf16": 1.0, "int8": 0.99, "fp8": 0.95},
    "deeplabv3_resnet50": {"fp16": 0.95, "bf16": 0.95, "int8": 0.9, "fp8": 0.8},
    "hrnetv2_w18_ocr": {"fp16": 0.95, "bf16": 0.95, "int8": 0.8, "fp8": 0.8},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARES)
def test_a_network_goes_through_every_precision(
    name: str, tmp_path: Path, make_tiny_dataset: Callable[..., Path], make_checkpoint: Callable[..., Path]
) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    data = make_tiny_dataset(tmp_path / "data", train=2, val=1, test=2, size=(256, 512))
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data, name)
    wanted = Precisions(names=("fp32", *LOW), calibration_images=2)
    bundle = export(checkpoint, data, tmp_path / "bundle", precisions=wanted, allow_code=True)
    for precision in LOW:
        _check(bundle, precision, tmp_path / "bundle", SHARES[name][precision])


def _check(bundle: Bundle, precision: str, directory: Path, share: float) -> None:
    entry = bundle.model(precision)
    made = entry.conversion
    assert made is not None
    assert legality_findings(onnx.load(directory / entry.path)) == []
    assert made.multiply_adds[precision] / entry.census.multiply_adds >= share
    assert sum(made.multiply_adds.values()) == bundle.model("fp32").census.multiply_adds
    for engine in made.engines:
        # a MatMul that stays FP32 for its large values has no engine on Turing
        turing = engine.target == "tensorrt-rtx:sm75" and "FP32 GEMM is not supported" in engine.detail
        refused = turing and any(node.operator == "MatMul" and node.precision == "fp32" for node in made.kept)
        expected = "not built" if refused or cannot_hold(engine.target, precision) else "built"
        assert engine.status == expected, f"{engine.target}: {engine.detail}"
    # random weights: logits near FP32's, masks with many close calls
    steps = {"fp16": 0.02, "bf16": 0.1, "int8": 0.5, "fp8": 0.5}
    assert made.agreement.logit_rms < steps[precision] * made.agreement.logit_largest
    unexplained = sum(node.multiply_adds for node in made.kept if node.why == UNTOLD)
    assert unexplained <= (1 - share) * entry.census.multiply_adds


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp8"])  # FP16 and INT8: test_precision_outputs.py
def test_outputs_beside_the_mask_stay_float(precision: str, own_module: None, tmp_path: Path) -> None:
    network = build_network(NetworkSpec(name="tiny_segmenter:build", num_classes=3)).eval()
    outputs = ("mask", "margin", "logits")
    graph = shipped_module(PixelsToMask(network, Normalisation()).eval(), outputs)
    profile = Profile(min=(1, 64, 64), opt=(1, 64, 96), max=(1, 128, 128))
    onnx.save(onnx_from_network(graph, profile, outputs, 20), tmp_path / "model.onnx")
    image_HWC = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(image_HWC).save(tmp_path / "image.png")
    model = convert(tmp_path / "model.onnx", precision, [tmp_path / "image.png"]).model
    kinds = {output.name: output.type.tensor_type.elem_type for output in model.graph.output}
    assert kinds == {
        "mask": onnx.TensorProto.UINT8,
        "margin": onnx.TensorProto.FLOAT,
        "logits": onnx.TensorProto.FLOAT,
    }
    exact, found = (
        session_for(one, precision).run(["margin", "logits"], {"image": image_HWC[None]})
        for one in (onnx.load(tmp_path / "model.onnx"), rounded_form(model))
    )
    # BF16 and eight bits keep two to three digits of a logit
    largest = np.abs(exact[1]).max()
    for one, other in zip(exact, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=0.05 * largest)
