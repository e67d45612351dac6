"""The converted files of a bundle in OpenVINO on the CPU: INT8 as INT8, and no name that it does not execute."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hardedge.contracts import Engine, load
from hardedge.data.decoding import read_mask
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.deploy.openvino.model import capabilities
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import Unavailable

pytest.importorskip("openvino", reason="comes with hardedge[openvino]")


def test_our_int8_file_is_executed_in_int8(typed_bundle: Path, data: Path, tmp_path: Path) -> None:
    build(typed_bundle, "openvino:cpu", tmp_path / "engine", precision="int8")
    assert load(Engine, tmp_path / "engine").executed.get("int8", 0) > 0
    out = tmp_path / "report"
    report = verify(typed_bundle, [tmp_path / "engine"], data, out, gates=Gates(), latency_seconds=0)
    (parity,), (audit,) = report.parity, report.audits
    assert (parity.target, parity.precision, audit.source) == ("openvino:cpu", "int8", "engine")
    assert parity.pixel_agreement > 0.9
    assert audit.multiply_adds["int8"] > 0.5
    assert "fp16" not in audit.multiply_adds  # the file's FP16 remainder is computed in FP32


def test_fp32_masks_are_the_references(typed_bundle: Path, tmp_path: Path) -> None:
    build(typed_bundle, "openvino:cpu", tmp_path / "engine")
    bundle = load_bundle(typed_bundle)
    with closing(open_runner(tmp_path / "engine")) as runner:
        for id in bundle.manifest.golden:
            mask_HW = runner.masks(bundle.golden_image(id)[None])[0]
            expected_HW = read_mask(typed_bundle / "golden/masks" / f"{id}.png")
            # ties of the two best classes may fall otherwise
            assert np.mean(mask_HW == expected_HW) > 0.999


@pytest.mark.skipif("FP16" in capabilities("cpu"), reason="this CPU has FP16")
def test_the_fp16_file_is_no_fp16_engine(typed_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not execute fp16 on this cpu"):
        build(typed_bundle, "openvino:cpu", tmp_path / "engine", precision="fp16")
    assert not (tmp_path / "engine").exists()
