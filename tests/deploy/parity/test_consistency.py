"""One mask in every batch, slot and order, and the network's masks at every size: faults planted in ONNX files."""

import dataclasses
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardedge.contracts import Consistency, Profile
from hardedge.data.opening import open_dataset
from hardedge.deploy.bundles.loading import OpenBundle, load_bundle
from hardedge.deploy.onnxruntime.runner import OnnxRuntimeRunner
from hardedge.deploy.parity import batch_slots, network_masks
from hardedge.deploy.parity.batch_slots import BatchSlots, check_batch_slots, tile_image
from hardedge.deploy.parity.image_sizes import ImageSizes, check_image_sizes
from hardedge.deploy.parity.network_masks import NetworkMasks
from hardedge.deploy.verification.gates import consistency_gates

SMALL = Profile(min=(1, 32, 32), opt=(2, 64, 96), max=(4, 64, 96))
LARGE = Profile(min=(2, 32, 32), opt=(3, 96, 96), max=(6, 96, 128), name="large")


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], **attributes)


# the fault's logits [B, C, H, W] or what broadcasts to it, made of `logits` and the tensors below
SHAPE = [
    node("Shape", ["logits"], "shape"),
    node("Gather", ["shape", "0"], "batch"),
    node("Gather", ["shape", "2"], "height"),
    node("Range", ["0", "batch", "1"], "range"),
    node("Reshape", ["range", "to_column"], "slots"),
]
FAULTS = {
    # class 0 wins everywhere but in the first slot
    "slot": [
        *SHAPE,
        node("Greater", ["slots", "0"], "later"),
        node("Cast", ["later"], "amount", to=TensorProto.FLOAT),
    ],
    # all slots go wrong in batches of three and more, in the same way
    "batch size": [
        *SHAPE,
        node("Greater", ["batch", "2"], "many"),
        node("Cast", ["many"], "amount", to=TensorProto.FLOAT),
    ],
    # right at the golden images' size, wrong at every other height
    "image size": [
        *SHAPE,
        node("Equal", ["height", "64"], "usual"),
        node("Not", ["usual"], "other"),
        node("Cast", ["other"], "amount", to=TensorProto.FLOAT),
    ],
}


def planted(model: onnx.ModelProto, fault: str) -> onnx.ModelProto:
    """The network with a fault between its logits and its argmax."""
    argmax = next(place for place, each in enumerate(model.graph.node) if each.op_type == "ArgMax")
    classes = model.graph.initializer[0].dims[0]
    push = np.zeros((1, classes, 1, 1), np.float32)
    push[0, 0] = 1e6
    constants = {str(number): np.array(number, np.int64) for number in (0, 1, 2, 64)}
    constants |= {"to_column": np.array([-1, 1, 1, 1]), "push": push, "start": np.array([0]), "last": np.array([-1])}
    if fault == "permutation":
        # a slot's answer depends on the one before it: equal images hide it
        nodes = [
            node("Slice", ["logits", "start", "last", "start"], "others"),
            node("Slice", ["logits", "last", "most", "start"], "end"),
            node("Concat", ["end", "others"], "before", axis=0),
            node("Sub", ["logits", "before"], "difference"),
            node("Mul", ["difference", "twice"], "added"),
        ]
        constants |= {"most": np.array([1 << 31]), "twice": np.array(2, np.float32)}
    else:
        nodes = [*FAULTS[fault], node("Mul", ["amount", "push"], "added")]
    model.graph.node[argmax].input[0] = "faulty"
    nodes.append(node("Add", ["logits", "added"], "faulty"))
    for place, each in enumerate(nodes):
        model.graph.node.insert(argmax + place, each)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def bundle(shared_bundle: Path) -> OpenBundle:
    return load_bundle(shared_bundle)


@pytest.fixture
def runner_of(
    tmp_path: Path, shared_data: Path, color_model: Callable[..., onnx.ModelProto]
) -> Callable[..., OnnxRuntimeRunner]:
    colors = np.array([entry.color for entry in open_dataset(shared_data).task.classes])

    def opened(fault: str | None = None) -> OnnxRuntimeRunner:
        model = color_model(colors)
        onnx.save(planted(model, fault) if fault else model, tmp_path / "model.onnx")
        return OnnxRuntimeRunner(tmp_path / "model.onnx")

    return opened


def checked(
    bundle: OpenBundle, runner: OnnxRuntimeRunner, *profiles: Profile, precision: str = "fp32"
) -> tuple[BatchSlots, ImageSizes]:
    network = NetworkMasks(bundle)
    with closing(runner):
        slots = check_batch_slots(bundle, profiles, runner, precision, network)
        return slots, check_image_sizes(bundle, profiles, runner, precision, network)


def test_a_sound_network_passes_in_every_batch_of_every_profile(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner]
) -> None:
    slots, sizes = checked(bundle, runner_of(), SMALL, LARGE)
    small = [(size, 64, 96) for size in (1, 2, 3, 4)]
    # the first profile holds the golden images: the second gets them in a size of its own, and its largest batch
    large = [(2, 96, 96), (3, 96, 96), (4, 96, 96), (6, 64, 96)]
    assert slots.batches == [*small, *large]
    assert slots.masks == 3 * 1 + 5 * (2 + 3 + 4) + 5 * (2 + 3 + 4 + 6)
    assert (slots.changed, slots.agreement, slots.margin, slots.status) == (0, 1.0, None, "pass")
    assert (sizes.clear, sizes.status) == (1.0, "pass")
    assert sorted(sizes.sizes) == sorted(
        {profile_size[1:] for p in (SMALL, LARGE) for profile_size in (p.min, p.opt, p.max)}
    )


@pytest.mark.parametrize("fault", ["slot", "batch size", "permutation"])
def test_a_mask_that_depends_on_its_batch_is_found(
    fault: str, bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner]
) -> None:
    slots, sizes = checked(bundle, runner_of(fault), SMALL)
    assert slots.status == "fail"
    assert slots.changed > 0
    assert slots.margin is not None
    assert slots.allowed is not None
    assert slots.margin > slots.allowed
    assert "differ from those of the images alone" in str(slots)
    assert sizes.status == "pass", "alone the network is right"


def test_the_kind_of_fault_is_what_the_masks_say(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner]
) -> None:
    """A first slot that is right, batches of two that are right: less than all masks change."""
    slot, _ = checked(bundle, runner_of("slot"), SMALL)
    size, _ = checked(bundle, runner_of("batch size"), SMALL)
    assert slot.changed == 5 * (1 + 2 + 3)
    assert size.changed == 5 * (3 + 4)
    assert "in slot 1 of" not in slot.worst


def test_masks_that_depend_on_the_image_size_are_found(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner]
) -> None:
    slots, sizes = checked(bundle, runner_of("image size"), SMALL)
    assert slots.status == "pass", "at the golden images' size nothing is wrong"
    assert sizes.status == "fail"
    assert sizes.clear is not None
    assert sizes.clear < 0.9
    assert sizes.worst == "32x32"
    assert "of the class that model.onnx gives them (32x32)" in str(sizes)


class Flipping:
    """An engine that gives one pixel another class in batches of two and more."""

    def __init__(self, real: OnnxRuntimeRunner, row: int, column: int) -> None:
        self.real, self.row, self.column = real, row, column

    def masks(self, images_BHWC: np.ndarray) -> np.ndarray:
        masks_BHW = self.real.masks(images_BHWC)
        if len(masks_BHW) > 1:
            masks_BHW[:, self.row, self.column] = (masks_BHW[:, self.row, self.column] + 1) % 3
        return masks_BHW

    def close(self) -> None:
        self.real.close()


def test_one_pixel_fails_by_its_margin_and_not_by_its_share(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    image_HWC = tile_image(bundle.golden_image(bundle.manifest.golden[0]), (64, 96))
    known = NetworkMasks(bundle).of(image_HWC)
    assert known is not None
    clearest = divmod(int(known[1].argmax()), 96)
    monkeypatch.setattr(batch_slots, "IMAGES", 1)
    found, _ = checked(bundle, Flipping(runner_of(), *clearest), SMALL)  # type: ignore[arg-type]
    assert found.agreement == pytest.approx(1 - 1 / (64 * 96))
    assert found.agreement > batch_slots.LEAST_AGREEMENT
    assert (found.status, found.margin) == ("fail", pytest.approx(float(known[1].max())))
    # the same pixel passes where its margin is one that rounding explains
    monkeypatch.setattr(network_masks, "ROUNDING", 1e9)
    again, _ = checked(bundle, Flipping(runner_of(), *clearest), SMALL)  # type: ignore[arg-type]
    assert (again.status, again.changed) == ("pass", found.changed)
    assert f"{again.changed} of {again.masks} masks" in str(again)


def test_a_size_that_the_engine_refuses_fails_and_a_heavy_one_is_left_out(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardedge.errors import BadInput

    runner = runner_of()
    real = runner.masks

    def refuses(images_BHWC: np.ndarray) -> np.ndarray:
        if images_BHWC.shape[1] == 32:
            raise BadInput("images of 1x32x32x3 do not run (no such tile). Use others.")
        return real(images_BHWC)

    monkeypatch.setattr(runner, "masks", refuses)
    _, sizes = checked(bundle, runner, SMALL)
    assert sizes.status == "fail"
    assert "refused: 32x32: images of 1x32x32x3 do not run (no such tile)" in str(sizes)
    monkeypatch.setattr(NetworkMasks, "takes_long", lambda self, size: size != (32, 32))
    _, left = checked(bundle, runner_of(), SMALL)
    assert (left.sizes, left.status) == ([(32, 32)], "pass")
    assert "not run: 64x96, which takes model.onnx minutes on a CPU" in str(left)


def test_margins_that_are_not_known_leave_the_share_to_decide(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_masks, "with_logits_output", lambda model: None)
    slots, sizes = checked(bundle, runner_of("slot"), SMALL)
    assert (slots.status, slots.margin) == ("fail", None)
    assert "unknown margins" in str(slots)
    assert (sizes.status, sizes.clear) == ("pass", None)
    assert "model.onnx has no argmax over channels" in str(sizes)


def test_a_profile_without_a_batch_of_one_is_compared_with_its_smallest(
    bundle: OpenBundle, runner_of: Callable[..., OnnxRuntimeRunner]
) -> None:
    pairs = dataclasses.replace(SMALL, min=(2, 64, 96), opt=(2, 64, 96), max=(3, 64, 96))
    runner = runner_of()
    seen: list[int] = []
    real = runner.masks
    runner.masks = lambda images_BHWC: seen.append(len(images_BHWC)) or real(images_BHWC)  # type: ignore[method-assign,func-returns-value]
    slots, _ = checked(bundle, runner, pairs)
    assert slots.batches == [(2, 64, 96), (3, 64, 96)]
    assert set(seen) == {2, 3}
    assert slots.status == "pass"


def test_what_was_not_compared_is_no_gate() -> None:
    nothing = Consistency(
        target="onnxruntime:cpu",
        precision="fp32",
        batches=(),
        masks=0,
        changed=0,
        agreement=1.0,
        margin=None,
        allowed=None,
        slots_status="pass",
        slots_detail="no batch was run",
        sizes=(),
        clear=None,
        sizes_status="pass",
        sizes_detail="no size was run",
    )
    assert consistency_gates([nothing]) == []
    refused = replace(nothing, sizes_status="fail", sizes_detail="refused: 64x96")
    assert [(gate.name, gate.status) for gate in consistency_gates([refused])] == [("image sizes", "fail")]
