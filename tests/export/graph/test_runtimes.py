"""Runtimes against each other: torch, onnxruntime and OpenVINO give one mask; what one of them gets wrong is named."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hardedge.contracts import NetworkSpec, Normalisation, Profile
from hardedge.deploy.bundles.loading import load_bundle
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.export.graph.pixels_to_mask import PixelsToMask, margin_of, onnx_from_network, top_class
from hardedge.models import build_network
from hardedge.models.architectures import ARCHITECTURES

pytest.importorskip("openvino", reason="comes with hardedge[openvino]")

CLASSES = 5
PROFILE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(2, 160, 160))
SIZES = ((1, 64, 96), (1, 101, 64), (2, 96, 160))
# of the largest logit: float32 sums in another order (agreement.RELATIVE_TOLERANCE)
TIED = 5e-4

Masks = Mapping[str, npt.NDArray[np.uint8]]


def odd_one_out(masks: Masks, margins_BHW: npt.NDArray[np.float32], tied: float) -> dict[str, int]:
    """Of each executor the clear pixels in which it stands against the two others, who agree."""
    clear = margins_BHW > tied
    found = {}
    for name, mask in masks.items():
        one, two = (other for each, other in masks.items() if each != name)
        found[name] = int(np.count_nonzero(clear & (one == two) & (mask != one)))
    return found


def images(*size: int) -> npt.NDArray[np.uint8]:
    coarse_BHWC = np.random.default_rng(sum(size)).integers(0, 256, (size[0], 20, 20, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse_BHWC.repeat(16, axis=1).repeat(16, axis=2)[:, : size[1], : size[2]])


def lively(network: nn.Module) -> nn.Module:
    """BatchNorm statistics of random images, and classes that are balanced on them: masks of several classes."""
    images_BCHW = F.interpolate(2 * torch.randn(4, 3, 5, 6), size=(96, 128))
    with torch.no_grad():
        for part in network.train().modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None
        for _ in range(2):
            network(images_BCHW)
        logits_BCHW = network.eval()(images_BCHW)
        biases = [value for value in network.parameters() if value.shape == (CLASSES,)]
        biases[-1] -= logits_BCHW.mean((0, 2, 3))
    return network


def exported(name: str, folder: Path) -> tuple[PixelsToMask, Path]:
    torch.manual_seed(0)
    plain = lively(build_network(NetworkSpec(name=name, num_classes=CLASSES)))
    network = PixelsToMask(plain, Normalisation()).eval()
    onnx.save(onnx_from_network(network, PROFILE, ("mask",), 20), folder / "model.onnx")
    return network, folder / "model.onnx"


def runtimes(path: Path, precision: str) -> dict[str, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]]:
    from hardedge.deploy.openvino.runner import OpenVinoRunner

    def run(runner: object) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]:
        return lambda images_BHWC: runner.masks(images_BHWC)  # type: ignore[attr-defined,no-any-return]

    return {"onnxruntime": run(OnnxRuntimeRunner(path)), "openvino": run(OpenVinoRunner(path, "cpu", precision))}


def test_the_one_that_is_wrong_is_named() -> None:
    right = np.zeros((1, 2, 2), np.uint8)
    wrong = right.copy()
    wrong[0, 0] = 1
    margins = np.array([[[1.0, 1e-6], [1.0, 1.0]]], np.float32)
    masks = {"torch": right, "onnxruntime": right, "openvino": wrong}
    assert odd_one_out(masks, margins, 1e-3) == {"torch": 0, "onnxruntime": 0, "openvino": 1}
    # where all three differ nobody is outvoted
    masks = {"torch": right, "onnxruntime": right + 2, "openvino": right + 1}
    assert set(odd_one_out(masks, margins, 1e-3).values()) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_has_one_mask_in_torch_and_both_runtimes(name: str, tmp_path: Path) -> None:
    network, path = exported(name, tmp_path)
    runs = runtimes(path, "fp32")
    for size in SIZES:
        images_BHWC = images(*size)
        with torch.inference_mode():
            logits_BCHW = network.logits(torch.from_numpy(images_BHWC))
        masks = {"torch": top_class(logits_BCHW).numpy().astype(np.uint8)}
        masks |= {runtime: run(images_BHWC) for runtime, run in runs.items()}
        tied = TIED * float(logits_BCHW.abs().max())
        found = odd_one_out(masks, margin_of(logits_BCHW).numpy(), tied)
        assert found == dict.fromkeys(masks, 0), size


@pytest.mark.slow
def test_an_int8_file_has_nearly_one_mask_in_both_runtimes() -> None:
    """Of a trained network: each runtime fuses and rounds where it likes (94.3 % here), and no third one decides."""
    from hardedge.deploy.acceptance.stage import BUNDLE

    bundle = load_bundle(BUNDLE)
    one, two = runtimes(BUNDLE / bundle.manifest.model("int8").path, "int8").values()
    shares = [
        np.mean(one(image) == two(image)) for image in (bundle.golden_image(id)[None] for id in bundle.manifest.golden)
    ]
    assert min(shares) > 0.9
