"""What the graph takes and gives: fixed sizes, named profiles, a size of the network's own, more outputs, tensors."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from hardedge.cli import exporting
from hardedge.contracts import Bundle, Checkpoint, Normalisation, Profile, load
from hardedge.data.decoding import read_mask
from hardedge.data.opening import open_dataset
from hardedge.deploy.engines.build import build, rtx_digests
from hardedge.deploy.prediction.predict import predict
from hardedge.deploy.verification.gates import Gates
from hardedge.deploy.verification.stage import verify
from hardedge.errors import BadInput
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import OPSETS, Form, parse_form
from hardedge.export.graph.network import load_pixels_to_mask as network_of
from hardedge.export.graph.pixels_to_mask import (
    AtNetworkSize,
    PixelsToMask,
    WithHardness,
    onnx_from_network,
    read_form,
    shipped_module,
)
from hardedge.export.identity.arm_process import tap_path, write_arm
from hardedge.export.identity.arms import CertificateArm
from hardedge.export.reference import write_reference
from hardedge.export.stage import export
from hardedge.graphs.files import open_session, write_onnx
from hardedge.models import architecture

RANGE = Profile(min=(1, 32, 32), opt=(1, 64, 96), max=(4, 256, 256))


class Small(nn.Module):
    """Logits of 5 classes that change from pixel to pixel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 16, 5, stride=2, padding=2)
        self.classifier = nn.Conv2d(16, 5, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BChw = self.classifier(F.relu(self.features(images_BCHW)))
        return F.interpolate(logits_BChw, images_BCHW.shape[-2:], mode="bilinear", align_corners=False)


class Halving(Small):
    """Needs even sizes: what comes out of it is twice the half of the image."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return F.interpolate(self.classifier(F.relu(self.features(images_BCHW))), scale_factor=2.0, mode="bilinear")


def images(*size: int) -> np.ndarray:
    coarse_BHWC = np.random.default_rng(sum(size)).integers(0, 256, (size[0], 40, 40, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse_BHWC.repeat(8, axis=1).repeat(8, axis=2)[:, : size[1], : size[2]])


def made(network: nn.Module, form: Form) -> tuple[PixelsToMask, onnx.ModelProto]:
    sized = AtNetworkSize(network, form.network_size) if form.network_size else network
    pixels_to_mask = PixelsToMask(sized, Normalisation()).eval()
    module = shipped_module(pixels_to_mask, form.outputs)
    return pixels_to_mask, onnx_from_network(module, form.hull(), form.outputs, form.opset)


def prepared(images_BHWC: np.ndarray) -> Tensor:
    """As torchvision's own transforms prepare images, float32 [B, 3, H, W]."""
    chain = v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    return torch.stack([chain(image_HWC).as_subclass(Tensor) for image_HWC in images_BHWC])


def require_torchs(logits_BCHW: Tensor, mask_BHW: np.ndarray) -> None:
    """The mask is the argmax, but where the two best classes are nearer than rounding."""
    top_B2HW = logits_BCHW.topk(2, dim=1).values
    margin_BHW = (top_B2HW[:, 0] - top_B2HW[:, 1]).numpy()
    assert len(np.unique(mask_BHW)) > 1
    assert margin_BHW[mask_BHW != logits_BCHW.argmax(1).numpy()].max(initial=0) < 1e-4 * float(logits_BCHW.abs().max())


@pytest.mark.parametrize("network_size", [None, (48, 80)])
def test_the_whole_chain_is_torchvisions_and_torchs(network_size: tuple[int, int] | None) -> None:
    network = Small()
    form = Form(profiles=(RANGE,), outputs=("mask", "margin", "logits"), network_size=network_size)
    _, model = made(network, form)
    session = open_session(model)
    for size in ((1, 64, 96), (1, 65, 97), (2, 101, 64), (3, 33, 131), (4, 256, 32)):
        images_BHWC = images(*size)
        mask_BHW, margin_BHW, logits_BCHW = session.run(["mask", "margin", "logits"], {"image": images_BHWC})
        pixels_BCHW = prepared(images_BHWC)
        with torch.inference_mode():
            inner_BChw = F.interpolate(pixels_BCHW, network_size, mode="bilinear") if network_size else pixels_BCHW
            expected_BCHW = F.interpolate(network(inner_BChw), size[1:], mode="bilinear")
        require_torchs(expected_BCHW, mask_BHW)
        assert (mask_BHW.dtype, mask_BHW.shape, margin_BHW.shape) == (np.uint8, size, size)
        np.testing.assert_allclose(logits_BCHW, expected_BCHW.numpy(), atol=1e-4)  # of logits about 1
        top_B2HW = expected_BCHW.topk(2, dim=1).values
        np.testing.assert_allclose(margin_BHW, top_B2HW[:, 0] - top_B2HW[:, 1], atol=2e-4)


def test_a_fixed_size_is_fixed_in_the_graph_and_two_are_a_range() -> None:
    _, one = made(Halving(), parse_form(["64x96"], [], None, [], 20))
    assert [dim.dim_value or dim.dim_param for dim in one.graph.input[0].type.tensor_type.shape.dim] == [
        "batch", 64, 96, 3
    ]  # fmt: skip
    network, two = made(Small(), parse_form(["64x96", "128x96"], [], None, [], 20))
    assert [dim.dim_value or dim.dim_param for dim in two.graph.input[0].type.tensor_type.shape.dim] == [
        "batch", "height", 96, 3
    ]  # fmt: skip
    session = open_session(two)
    for size in ((1, 64, 96), (4, 128, 96)):
        with torch.inference_mode():
            expected_BCHW = network.logits(torch.from_numpy(images(*size)))
        require_torchs(expected_BCHW, session.run(["mask"], {"image": images(*size)})[0])


def test_a_network_of_even_sizes_is_refused_for_a_range_and_ships_at_sizes_that_it_takes() -> None:
    """Its mask of an odd image would have another size: never wrong, so not exported."""
    image = {"image": images(1, 64, 96)[0]}
    ranged = Form(profiles=(RANGE,))
    network, model = made(Halving(), ranged)
    with pytest.raises(BadInput, match=r"does not take image cut to 63x95, 1x63x95 .*\n?.*--network-size"):
        require_agreement(model, network, image, ranged)
    for form in (parse_form(["64x96"], [], None, [], 20), Form(profiles=(RANGE,), network_size=(64, 96))):
        network, model = made(Halving(), form)
        found = require_agreement(model, network, image, form)
        assert 0 < found.logit_difference < found.margin_tolerance


class Picky(Small):
    """Looks at sizes in eager mode alone, as segmentation-models-pytorch does: tracing does not see it."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and images_BCHW.shape[-1] % 32:
            raise ValueError("a width of multiples of 32 only")
        return super().forward(images_BCHW)


@pytest.mark.parametrize(
    ("network", "said"),
    [(Halving(), r"its logits are \[1, 5, 66, 98\]"), (Picky(), "ValueError: a width of multiples of 32 only")],
)
def test_a_test_image_of_a_size_that_the_network_does_not_take_is_named(
    network: nn.Module, said: str, make_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = open_dataset(make_tiny_dataset(tmp_path / "odd"))
    first = dataset.splits["test"][0]
    for path in (dataset.image_path(first), dataset.mask_path(first)):
        with Image.open(path) as image:
            image.resize((97, 65), Image.Resampling.NEAREST).save(path)
    with pytest.raises(BadInput, match=rf"does not take test image {first}, 1x65x97 .*{said}\n.*--network-size"):
        write_reference(PixelsToMask(network, Normalisation()).eval(), dataset, tmp_path / "reference")


@pytest.mark.parametrize(
    "opset", [pytest.param(one, marks=() if one in (OPSETS[0], OPSETS[-1]) else pytest.mark.slow) for one in OPSETS]
)
def test_every_opset_gives_torchs_masks(opset: int) -> None:
    form = Form(profiles=(RANGE,), outputs=("mask", "margin"), opset=opset)
    network, model = made(Small(), form)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [opset]
    found = require_agreement(model, network, {"image": images(1, 64, 96)[0]}, form)
    assert 0 < found.logit_difference < found.margin_tolerance


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx comes with hardedge[export] on x86-64")
@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_is_built_by_tensorrt_rtx(opset: int, tmp_path: Path) -> None:
    """With every part that the frontends add: casts, a resize to a network size and back, TopK, ArgMax."""
    form = Form(profiles=(RANGE,), outputs=("mask", "margin", "logits"), network_size=(48, 80), opset=opset)
    write_onnx(made(Small(), form)[1], tmp_path / "model.onnx")
    digests = rtx_digests(tmp_path / "model.onnx", ["tensorrt-rtx:sm86"], form.profiles)
    assert [len(digest) for digest in digests.values()] == [64]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((["64"], [], None, 20), "--size 64: expected HEIGHTxWIDTH, each 32 or more. Write it as 512x1024"),
        ((["16x64"], [], None, 20), "--size 16x64: expected HEIGHTxWIDTH, each 32 or more"),
        ((["64x64", "64x64"], [], None, 20), "64x64 is given twice"),
        (([], ["a=1x64x64:1x64x64"], None, 20), "expected NAME=MIN:TYPICAL:MAX, each BATCHxHEIGHTxWIDTH"),
        (([], ["a=1x64x64:1x32x64:1x64x64"], None, 20), "expected 1 <= min <= opt <= max"),
        (([], ["a b=1x64x64:1x64x64:1x64x64"], None, 20), "name 'a b': expected letters"),
        (([], ["a=1x8x64:1x64x64:1x64x64"], None, 20), "take images from 32x32 up"),
        (([], ["a=1x64x64:1x64x64:9x90000x90000"], None, 20), "max has 72900000000 pixels, more than"),
        (([], [], "512", 20), "--network-size 512: expected HEIGHTxWIDTH"),
        (([], [], None, 17), "--opset 17: hardedge writes 18 to 23"),
        (([], [], None, 24), "--opset 24: hardedge writes 18 to 23"),
    ],
)
def test_options_that_cannot_be_used_say_what_is_expected(
    options: tuple[list[str], list[str], str | None, int], said: str
) -> None:
    sizes, profiles, network_size, opset = options
    with pytest.raises(BadInput) as caught:
        parse_form(sizes, profiles, network_size, [], opset)
    assert said in str(caught.value)


def test_options_become_profiles() -> None:
    form = parse_form(["64x96"], ["small=1x32x48:2x64x96:4x128x192"], "48x80", ["logits", "margin"], 21)
    fixed, small = form.profiles
    assert (fixed.name, fixed.min, fixed.opt, fixed.max) == ("64x96", (1, 64, 96), (1, 64, 96), (4, 64, 96))
    assert (small.name, small.min, small.opt, small.max) == ("small", (1, 32, 48), (2, 64, 96), (4, 128, 192))
    assert (form.network_size, form.outputs, form.opset) == ((48, 80), ("mask", "margin", "logits"), 21)
    assert (form.hull().min, form.hull().max) == ((1, 32, 48), (4, 128, 192))


FORMED = parse_form(["64x96"], ["small=1x32x48:1x48x64:4x64x96"], "48x80", ["margin", "logits"], 21)


@pytest.fixture(scope="module")
def formed(
    tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path], own_source: str, data: Path
) -> Path:
    """A bundle with everything that can be asked of its graph."""
    folder = tmp_path_factory.mktemp("formed")
    (folder / "tiny_segmenter.py").write_text(own_source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        source = make_checkpoint(folder / "checkpoint", data, "tiny_segmenter:build")
        export(source, data, folder / "bundle", form=FORMED, frontend="tensor", allow_code=True)
    return folder / "bundle"


def test_the_bundle_tells_its_form(formed: Path) -> None:
    manifest = load(Bundle, formed)
    assert (manifest.profiles, manifest.network_size) == (FORMED.profiles, (48, 80))
    assert [output.split()[0] for output in manifest.model("fp32").census.outputs] == ["mask", "margin", "logits"]
    assert manifest.tensor is not None
    assert manifest.tensor.path in manifest.files
    facts = {entry.key: entry.value for entry in onnx.load(formed / "model.tensor.onnx").metadata_props}
    assert json.loads(facts["normalisation"])["std"] == [0.229, 0.224, 0.225]
    assert facts["input"].startswith("float32 [B, 3, H, W]: RGB in 0..1")
    assert read_form(onnx.load(formed / "model.onnx"), "model.onnx") == FORMED


def test_the_command_names_every_file_that_it_wrote(
    formed: Path, checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = load(Bundle, formed)
    monkeypatch.setattr("hardedge.export.stage.export", lambda *_, **__: manifest)
    arguments = [str(checkpoint), "--data", str(data), "--out", str(tmp_path / "out"), "--frontend", "tensor"]
    done = CliRunner().invoke(exporting.export, arguments, catch_exceptions=False)
    assert done.output.rstrip().endswith("%, model.onnx, model.tensor.onnx")


def test_the_pixels_graph_is_torchvisions_normalisation_the_tensor_graph_and_an_argmax(formed: Path) -> None:
    pixels, tensor = (onnxruntime.InferenceSession(formed / name) for name in ("model.onnx", "model.tensor.onnx"))
    for size in ((1, 64, 96), (2, 33, 51)):
        (mask_BHW,) = pixels.run(["mask"], {"image": images(*size)})
        (logits_BCHW,) = tensor.run(["logits"], {"image": prepared(images(*size)).numpy()})
        require_torchs(torch.from_numpy(logits_BCHW), mask_BHW)


def test_predict_takes_the_sizes_that_a_profile_holds_and_names_them_for_others(formed: Path, tmp_path: Path) -> None:
    for name, size in (("fits", (64, 96)), ("small", (40, 50)), ("large", (65, 96))):
        Image.fromarray(images(1, *size)[0]).save(tmp_path / f"{name}.png")
    masks = predict(formed, [tmp_path / "fits.png", tmp_path / "small.png"], tmp_path / "out")
    assert [read_mask(path).shape for path in masks] == [(64, 96), (40, 50)]
    with pytest.raises(BadInput) as caught:
        predict(formed, [tmp_path / "large.png"], tmp_path / "again")
    assert "large.png: 1x65x96, but the bundle's profiles hold: 64x96 1x64x96 to 4x64x96; small 1x32x48" in str(
        caught.value
    )


def test_engines_are_built_with_every_profile_and_verified_with_more_outputs(
    formed: Path, data: Path, tmp_path: Path
) -> None:
    targets = ("onnxruntime:cpu", *(["tensorrt-rtx:sm86"] if find_spec("tensorrt_rtx") else []))
    for target in targets:
        engine = build(formed, target, tmp_path / target.replace(":", "-"))
        assert engine.profiles == FORMED.profiles
    engines = [tmp_path / target.replace(":", "-") for target in targets]
    report = verify(formed, engines, data, tmp_path / "report", gates=Gates(), latency_seconds=0)
    assert report.certificate.level0.status == "identical"
    assert report.parity[0].pixel_agreement == 1.0


def test_the_control_taps_the_network_within_what_its_form_puts_around_it(checkpoint: Path) -> None:
    known = architecture("lraspp_mobilenet_v3_large")
    assert known is not None
    pixels_to_mask = network_of(checkpoint, load(Checkpoint, checkpoint), FORMED.network_size)
    plain = shipped_module(pixels_to_mask, FORMED.outputs)
    control = WithHardness(plain, tap_path(FORMED, known.tap), known.head(1)).eval()
    with torch.inference_mode():
        *found, hardness_BHW = control(torch.from_numpy(images(1, 64, 96)))
        expected = plain(torch.from_numpy(images(1, 64, 96)))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert (hardness_BHW.dtype, hardness_BHW.shape) == (torch.uint8, (1, 64, 96))
    assert len(hardness_BHW.unique()) > 1


@pytest.mark.slow
def test_the_control_has_the_same_outputs_and_the_hardness(checkpoint: Path, tmp_path: Path) -> None:
    arm = CertificateArm(kind="control", checkpoint=str(checkpoint), form=FORMED)
    write_arm(arm, tmp_path / "control.onnx")
    assert [value.name for value in onnx.load(tmp_path / "control.onnx").graph.output] == [
        "mask", "margin", "logits", "hardness"
    ]  # fmt: skip
    mask_BHW, hardness_BHW = open_session(onnx.load(tmp_path / "control.onnx")).run(
        ["mask", "hardness"], {"image": images(1, 64, 96)}
    )
    assert mask_BHW.shape == hardness_BHW.shape == (1, 64, 96)
    assert hardness_BHW.std() > 0


def test_test_images_that_no_profile_holds_are_refused(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"(?s)fit no profile of 64x64 1x64x64 to 4x64x64.*1x64x96.*and 5 more"):
        export(checkpoint, data, tmp_path / "bundle", form=parse_form(["64x64"], [], None, [], 20), allow_code=True)
    assert not (tmp_path / "bundle").exists()
