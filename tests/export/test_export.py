"""The bundle: what is in it, that it is what torch computes, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch

from hardedge.contracts import (
    Bundle,
    Certificate,
    Checkpoint,
    Profile,
    TrainingCurves,
    load,
    read_json,
    seal,
    sha256_of,
)
from hardedge.data.decoding import read_image, read_mask
from hardedge.data.opening import open_dataset
from hardedge.errors import BadInput
from hardedge.export.graph.agreement import require_agreement
from hardedge.export.graph.form import Form
from hardedge.export.graph.network import load_pixels_to_mask
from hardedge.export.graph.pixels_to_mask import PixelsToMask
from hardedge.export.stage import export

FORM = Form(profiles=(Profile(min=(1, 64, 64), opt=(1, 64, 96), max=(4, 1024, 2048)),))
DECEIVING = "tiny_segmenter:build_deceiving"


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> PixelsToMask:
    return load_pixels_to_mask(checkpoint, load(Checkpoint, checkpoint))


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def margins(logits_BCHW: torch.Tensor) -> np.ndarray:
    top_B2HW = logits_BCHW.topk(2, dim=1).values
    return (top_B2HW[:, 0] - top_B2HW[:, 1]).numpy()


@pytest.mark.parametrize("size", [(1, 64, 96), (1, 65, 97), (2, 101, 64), (3, 80, 131)])
def test_shipped_masks_are_torchs(bundle: Path, network: PixelsToMask, size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    coarse_BHWC = rng.integers(0, 256, (size[0], 9, 9, 3), dtype=np.uint8)
    images_BHWC = coarse_BHWC.repeat(16, axis=1).repeat(16, axis=2)[:, : size[1], : size[2]].copy()
    (mask_BHW,) = session_of(bundle / "model.onnx").run(None, {"image": images_BHWC})
    with torch.inference_mode():
        pixels_BCHW = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2) / 255
        mean_311 = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std_311 = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        logits_BCHW = network.network((pixels_BCHW - mean_311) / std_311)
    expected_BHW = logits_BCHW.argmax(1).numpy()
    assert mask_BHW.dtype == np.uint8
    assert mask_BHW.shape == size
    assert len(np.unique(mask_BHW)) > 1
    # only where the two best classes are as good as tied
    differing = margins(logits_BCHW)[mask_BHW != expected_BHW]
    assert differing.max(initial=0) < 1e-4 * float(logits_BCHW.abs().max())


def test_bundle_is_whole_and_made_from_the_checkpoint(bundle: Path, checkpoint: Path, data: Path) -> None:
    manifest, source = load(Bundle, bundle), load(Checkpoint, checkpoint)
    assert manifest.made_from == source.digest
    assert (manifest.task, manifest.network, manifest.hardness) == (source.task, source.network, source.hardness)
    assert manifest.profile.opt == (1, 64, 96)
    assert manifest.profile.min == (1, 64, 64)
    assert manifest.profile.max == (4, 1024, 2048)
    ids = open_dataset(data).splits["test"]
    expected = {"model.onnx", "control.onnx", "certificate.json", "training.json", "reference/confusion.npz"}
    expected |= {f"reference/{folder}/{id}.png" for folder in ("masks", "hardness") for id in ids}
    expected |= {f"golden/{folder}/{id}.png" for folder in ("images", "masks") for id in manifest.golden}
    assert set(manifest.files) == expected
    assert read_json(TrainingCurves, bundle / "training.json").terms == {"loss": (0.5,)}
    assert 0 < manifest.logit_difference < manifest.margin_tolerance


def test_certificate_says_identical(bundle: Path) -> None:
    certificate = read_json(Certificate, bundle / "certificate.json")
    model = load(Bundle, bundle).model("fp32")
    assert certificate.level0.status == "identical"
    assert certificate.level0.shipped_digest == certificate.level0.plain_digest == model.onnx_digest
    assert certificate.level0.rtx_engines.status == "identical", certificate.level0.rtx_engines.detail
    assert [arm.target.removeprefix("tensorrt-rtx:sm") for arm in certificate.level0.engines] == [
        "75", "80", "86", "89", "120", "121"
    ]  # fmt: skip
    assert all(arm.shipped == arm.plain for arm in certificate.level0.engines)
    assert len({arm.shipped for arm in certificate.level0.engines}) == 6
    assert certificate.level1.status == "identical"
    assert certificate.level1.shipped == certificate.level1.plain == model.census
    assert (certificate.level2.status, certificate.level2.detail) == ("not run here", "measured by deploy")


def test_census_is_the_networks(bundle: Path, network: PixelsToMask) -> None:
    census = load(Bundle, bundle).model("fp32").census
    convolutions = [part for part in network.network.modules() if isinstance(part, torch.nn.Conv2d)]
    multiply_adds = 0

    def count(part: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal multiply_adds
        multiply_adds += output.numel() * part.weight[0].numel()

    handles = [part.register_forward_hook(count) for part in convolutions]
    with torch.inference_mode():
        network(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    assert census.operators["Conv"] == len(convolutions)
    assert census.multiply_adds == multiply_adds
    assert census.inputs == ("image uint8 [batch,height,width,3]",)
    assert census.outputs == ("mask uint8 [batch,height,width]",)


def test_shipped_file_tells_its_task_and_nothing_of_its_making(bundle: Path, checkpoint: Path) -> None:
    model, source = onnx.load(bundle / "model.onnx"), load(Checkpoint, checkpoint)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert [entry["name"] for entry in json.loads(facts["classes"])] == ["sky", "road", "car"]
    assert facts["checkpoint_digest"] == source.digest
    assert facts["data_digest"] == source.data_digest
    assert (facts["ignore_index"], facts["color_order"]) == ("255", "RGB")
    assert json.loads(facts["normalisation"])["mean"] == [0.485, 0.456, 0.406]
    assert model.graph.node[-1].output[0] == "mask"
    names = [name for node in model.graph.node for name in (node.name, *node.input, *node.output)]
    assert all(re.fullmatch(r"[nv]\d+|image|mask|", name) for name in names)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")  # in millions of bytes any short word occurs
    content = model.SerializeToString()
    for word in (b"torch", b"backbone", b"classifier", b".py", str(Path.home()).encode(), str(bundle).encode()):
        assert word not in content, word
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert not model.graph.value_info


def test_control_is_the_network_with_a_branch_beside_it(bundle: Path) -> None:
    image_BHWC = read_image(next((bundle / "golden" / "images").glob("*.png")))[None]
    (mask_BHW,) = session_of(bundle / "model.onnx").run(None, {"image": image_BHWC})
    control_BHW, hardness_BHW = session_of(bundle / "control.onnx").run(["mask", "hardness"], {"image": image_BHWC})
    np.testing.assert_array_equal(control_BHW, mask_BHW)
    assert hardness_BHW.dtype == np.uint8
    assert hardness_BHW.shape == mask_BHW.shape
    assert hardness_BHW.std() > 0
    plain, control = (len(onnx.load(bundle / name).graph.node) for name in ("model.onnx", "control.onnx"))
    assert control > plain


def test_reference_is_what_a_recount_gives(bundle: Path, data: Path, network: PixelsToMask) -> None:
    dataset, reference = open_dataset(data), load(Bundle, bundle).reference
    counts_NCC = np.load(bundle / "reference" / "confusion.npz")["counts"]
    assert counts_NCC.dtype == np.int64
    assert tuple(image.id for image in reference.images) == dataset.splits["test"]
    total_CC = np.zeros((3, 3), np.int64)
    for image, counts_CC in zip(reference.images, counts_NCC, strict=True):
        assert image.image_sha256 == sha256_of(dataset.image_path(image.id))
        assert image.label_sha256 == sha256_of(dataset.mask_path(image.id))
        mask_HW = read_mask(bundle / "reference" / "masks" / f"{image.id}.png")
        with torch.inference_mode():
            expected_HW = network(torch.from_numpy(dataset.image(image.id).copy())[None])[0].numpy()
        np.testing.assert_array_equal(mask_HW, expected_HW)
        label_HW = dataset.mask(image.id)
        for label, predicted in np.ndindex(3, 3):
            assert counts_CC[label, predicted] == ((label_HW == label) & (mask_HW == predicted)).sum()
        total_CC += counts_CC
    for index, name in enumerate(("sky", "road", "car")):
        union = total_CC[index].sum() + total_CC[:, index].sum() - total_CC[index, index]
        assert reference.score.per_class[name] == pytest.approx(100 * total_CC[index, index] / union)
    assert reference.score.miou == pytest.approx(np.mean(list(reference.score.per_class.values())))


def test_golden_pairs_and_hardness_are_copies(bundle: Path, checkpoint: Path, data: Path) -> None:
    dataset, manifest = open_dataset(data), load(Bundle, bundle)
    assert len(manifest.golden) == 8
    for id in manifest.golden:
        np.testing.assert_array_equal(read_image(bundle / "golden" / "images" / f"{id}.png"), dataset.image(id))
        assert sha256_of(bundle / f"golden/masks/{id}.png") == sha256_of(bundle / f"reference/masks/{id}.png")
    for id in dataset.splits["test"]:
        assert sha256_of(bundle / f"reference/hardness/{id}.png") == sha256_of(checkpoint / f"hardness/test/{id}.png")


def test_disagreement_names_image_and_pixels(bundle: Path, data: Path, network: PixelsToMask) -> None:
    model, dataset = onnx.load(bundle / "model.onnx"), open_dataset(data)
    images = {id: dataset.image(id) for id in dataset.splits["test"][:2]}
    found = require_agreement(model, network, images, FORM)
    assert 0 < found.logit_difference < found.margin_tolerance
    torch.manual_seed(1)
    other = PixelsToMask(network.network, load(Checkpoint, data.parent / "checkpoint").normalisation).eval()
    other.mean_311 = other.mean_311 + 60
    wrong = (
        r"(?s)golden image scene006: \d+ of 6144 pixels differ, top-2 margin up to.*first node that differs: n\d+, Sub"
    )
    with pytest.raises(BadInput, match=wrong):
        require_agreement(model, other, images, FORM)


def test_own_network_ships_without_a_control(
    own_module: None,
    make_checkpoint: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = make_checkpoint(tmp_path / "own", data, "tiny_segmenter:build")
    made = export(source, data, tmp_path / "bundle", allow_code=True)
    assert made == load(Bundle, tmp_path / "bundle")
    assert made.control is None
    assert not (tmp_path / "bundle" / "control.onnx").exists()
    certificate = read_json(Certificate, tmp_path / "bundle" / "certificate.json")
    assert (certificate.level0.status, certificate.level0.rtx_engines.status) == ("identical", "identical")
    assert capfd.readouterr() == ("", "")
    with pytest.raises(BadInput, match="bundle exists"):
        export(source, data, tmp_path / "bundle", allow_code=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "deeplabv3plus_resnet18"])
def test_other_networks_ship(name: str, make_checkpoint: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    made = export(make_checkpoint(tmp_path / "checkpoint", data, name), data, tmp_path / "bundle", allow_code=True)
    certificate = read_json(Certificate, tmp_path / "bundle" / "certificate.json")
    statuses = (certificate.level0.status, certificate.level0.rtx_engines.status, certificate.level1.status)
    assert statuses == ("identical", "identical", "identical"), certificate.level0.rtx_engines.detail
    assert made.control == "control.onnx"


def test_nothing_is_written_when_the_masks_differ(
    own_module: None, make_checkpoint: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    source = make_checkpoint(tmp_path / "deceiving", data, DECEIVING)
    with pytest.raises(BadInput, match="does not give the torch network's masks"):
        export(source, data, tmp_path / "bundle", allow_code=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deceiving", "modules"]
    with pytest.raises(BadInput, match="its forward does something else while it is traced"):
        export(source, data, tmp_path / "bundle", keep_failed=True, allow_code=True)
    assert (tmp_path / "bundle.failed" / "model.onnx").is_file()
    assert not (tmp_path / "bundle.failed" / "bundle.json").exists()


def test_other_classes_are_refused_with_both_lists(
    checkpoint: Path, make_tiny_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_tiny_dataset(tmp_path / "other")
    classes = json.loads((other / "classes.json").read_text())
    classes["classes"][2]["name"] = "lorry"
    (other / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(BadInput, match=r"trained: sky, road, car .*\n.*data: +sky, road, lorry"):
        export(checkpoint, other, tmp_path / "bundle", allow_code=True)


def test_data_of_one_class_is_refused(checkpoint: Path, make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    """There is no second-best class, and no margin."""
    other = make_tiny_dataset(tmp_path / "other")
    classes = json.loads((other / "classes.json").read_text())
    (other / "classes.json").write_text(json.dumps(classes | {"classes": classes["classes"][:1]}))
    with pytest.raises(BadInput, match=r"(?s)classes\.json.*1 class .sky., but a mask needs 2 or more"):
        export(checkpoint, other, tmp_path / "bundle", allow_code=True)


def test_other_images_are_refused(checkpoint: Path, make_tiny_dataset: Callable[..., Path], tmp_path: Path) -> None:
    other = make_tiny_dataset(tmp_path / "other", train=20)
    with pytest.raises(BadInput, match=r"trained on other data than .*\n  hardness/test/scene022.png: missing"):
        export(checkpoint, other, tmp_path / "bundle", allow_code=True)


def test_weights_must_fit_exactly(
    own_module: None, make_checkpoint: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    source = make_checkpoint(tmp_path / "own", data, "tiny_segmenter:build")
    weights = safetensors.torch.load_file(source / "weights.safetensors")
    weights["hardness.weight"] = torch.ones(2)
    weights["classifier.weight"] = torch.ones(4, 8, 1, 1)
    del weights["features.bias"]
    safetensors.torch.save_file(weights, source / "weights.safetensors")
    seal(source, load_unchecked(source))
    with pytest.raises(BadInput) as caught:
        export(source, data, tmp_path / "bundle", allow_code=True)
    assert str(caught.value).splitlines()[1:4] == [
        "  features.bias: missing",
        "  hardness.weight: the network has no such weight",
        "  classifier.weight: (4, 8, 1, 1), expected (3, 8, 1, 1)",
    ]


def load_unchecked(directory: Path) -> Checkpoint:
    return read_json(Checkpoint, directory / Checkpoint.FILE)
