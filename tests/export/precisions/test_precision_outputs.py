"""More outputs than the mask in files of other precisions: what is converted keeps them, and they stay floats."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from hardedge.contracts import Bundle, load
from hardedge.data.decoding import read_image
from hardedge.deploy.engines.build import build
from hardedge.deploy.engines.open import open_runner
from hardedge.export.graph.form import parse_form
from hardedge.export.stage import Precisions, export
from hardedge.graphs.files import open_session


@pytest.mark.slow
def test_converted_files_have_the_outputs_that_were_asked_for(
    small_source: str,
    make_checkpoint: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "small_segmenter.py").write_text(small_source)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = make_checkpoint(tmp_path / "checkpoint", data, "small_segmenter:build")
    wanted = Precisions(names=("fp16", "int8"), calibration_images=3)
    form = parse_form(["64x96"], [], None, ["margin", "logits"], 20)
    export(source, data, tmp_path / "bundle", form=form, precisions=wanted, allow_code=True)
    manifest = load(Bundle, tmp_path / "bundle")
    image_BHWC = read_image(next((tmp_path / "bundle/golden/images").glob("*.png")))[None]
    found = {
        name: open_session(onnx.load(tmp_path / "bundle" / manifest.model(name).path)).run(
            ["mask", "margin", "logits"], {"image": image_BHWC}
        )
        for name in ("fp32", "fp16", "int8")
    }
    for name, (mask_BHW, margin_BHW, logits_BCHW) in found.items():
        assert (margin_BHW.dtype, logits_BCHW.dtype) == (np.float32, np.float32), name
        np.testing.assert_array_equal(mask_BHW, logits_BCHW.argmax(1))
        best_B2HW = np.sort(logits_BCHW, axis=1)[:, -2:]
        np.testing.assert_allclose(margin_BHW, best_B2HW[:, 1] - best_B2HW[:, 0], atol=1e-3)  # FP16 of logits about 0.2
    largest = float(np.abs(found["fp32"][2]).max())
    np.testing.assert_allclose(found["fp16"][2], found["fp32"][2], atol=0.02 * largest)
    build(tmp_path / "bundle", "onnxruntime:cpu", tmp_path / "engine", precision="int8")
    assert open_runner(tmp_path / "engine").masks(image_BHWC).shape == image_BHWC.shape[:3]
