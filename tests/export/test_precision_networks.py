"""Networks of different make through every precision: attention, aggregation, dilation, many branches."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from hardedge.contracts import Bundle
from hardedge.deploy.precision import cannot_hold
from hardedge.export.export import Precisions, export
from hardedge.export.kept import UNTOLD
from hardedge.export.legal import findings
from hardedge.export.precisions import TARGETS

LOW = ("fp16", "bf16", "int8", "fp8")
# the smallest share of the multiply-adds that each precision reached (docs/precision.md has the figures)
SHARES = {
    "bisenetv2": {"fp16": 1.0, "bf16": 1.0, "int8": 0.99, "fp8": 0.95},
    "segformer_b0": {"fp16": 1.0, "bf16": 1.0, "int8": 0.8, "fp8": 0.5},
    "deeplabv3_resnet50": {"fp16": 1.0, "bf16": 1.0, "int8": 0.99, "fp8": 0.95},
    "hrnetv2_w18_ocr": {"fp16": 1.0, "bf16": 1.0, "int8": 0.9, "fp8": 0.9},
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
    bundle = export(checkpoint, data, tmp_path / "bundle", precisions=wanted)
    for precision in LOW:
        _check(bundle, precision, tmp_path / "bundle", SHARES[name][precision])


def _check(bundle: Bundle, precision: str, directory: Path, share: float) -> None:
    entry = bundle.model(precision)
    made = entry.conversion
    assert made is not None
    assert findings(onnx.load(directory / entry.path)) == []
    assert made.multiply_adds[precision] / entry.census.multiply_adds >= share
    assert sum(made.multiply_adds.values()) == bundle.model("fp32").census.multiply_adds
    holding = [target for target in TARGETS if not cannot_hold(target, precision)]
    assert [engine.target for engine in made.engines if engine.status == "built"] == holding
    # random weights: logits near FP32's, masks with many close calls
    steps = {"fp16": 0.02, "bf16": 0.1, "int8": 0.5, "fp8": 0.5}
    assert made.agreement.logit_rms < steps[precision] * made.agreement.logit_largest
    unexplained = sum(node.multiply_adds for node in made.kept if node.why == UNTOLD)
    assert unexplained <= (1 - share) * entry.census.multiply_adds
