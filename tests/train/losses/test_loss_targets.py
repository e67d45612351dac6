"""What every loss says of a target that is none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hardedge.errors import BadInput
from hardedge.train.losses import Hardness, Loss, LossSum
from hardedge.train.losses.calling import class_indices
from hardedge.train.losses.parse import LOSSES, parse_loss

Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
PLAIN = ("ce", "focal", "dice", "lovasz", "tversky", "ohem", "recall", "pat", "cpg", "lmp", "abl", "ssl", "asl")


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", [3, 200, -1])
def test_a_value_that_is_no_class_is_named(name: str, value: int) -> None:
    logits_BCHW, target_BHW = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    target_BHW[0, 0, 0], target_BHW[1, 4] = value, 255
    loss = parse_loss(name)
    said = rf"target values {value}, but the logits have 3 classes \(0-2\) and the ignore index is 255"
    with pytest.raises(BadInput, match=said):
        loss({"logits": logits_BCHW}, target_BHW)
    target_BHW[0, 0, 0] = 2
    assert torch.isfinite(loss({"logits": logits_BCHW}, target_BHW))


@pytest.mark.parametrize("name", PLAIN)
def test_a_target_of_another_type_or_shape_is_told_with_what_was_found(name: str) -> None:
    logits_BCHW, target_BHW = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    for wrong in (target_BHW.float(), target_BHW.bool(), target_BHW[:1], target_BHW[:, None]):
        with pytest.raises(BadInput, match=rf"loss {name}: logits .* and target {wrong.dtype} "):
            parse_loss(name)({"logits": logits_BCHW}, wrong)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_and_a_sum_are_called_alike(name: str, example: Example) -> None:
    alone, summed, target_BHW, outputs = LOSSES[name](), parse_loss(name), *_given(name, example)
    logits_BCHW = outputs.pop("logits")
    expected = alone(logits_BCHW, target_BHW, **outputs)
    assert expected.shape == ()
    for loss in (alone, summed):
        assert loss(logits_BCHW, target_BHW, **outputs) == expected
        assert loss({"logits": logits_BCHW, "other": None, **outputs}, target_BHW) == expected
        assert loss({"logits": logits_BCHW}, target_BHW, **outputs) == expected
        for integer in (torch.int32, torch.uint8, torch.int16):
            assert loss(logits_BCHW, target_BHW.to(integer), **outputs) == expected


def _given(name: str, example: Example) -> tuple[Tensor, dict[str, Any]]:
    logits_BCHW, hardness_B1HW, target_BHW = example()
    image_BCHW = torch.rand(len(logits_BCHW), 3, *target_BHW.shape[1:])
    every = {
        "hardness": hardness_B1HW,
        "boundary": hardness_B1HW,
        "detail": hardness_B1HW,
        "image": image_BCHW,
        "edge_network": lambda maps_BCHW: [maps_BCHW] * 8,
    }
    needed = {need: every[need] for need in LOSSES[name].needs if need != "logits"}
    return target_BHW, {"logits": logits_BCHW, **needed}


@pytest.mark.parametrize("loss", [Hardness(), parse_loss("ce + hardness")], ids=str)
def test_what_is_missing_left_over_or_of_another_batch_is_said(loss: Loss | LossSum) -> None:
    logits_BCHW, target_BHW = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    with pytest.raises(BadInput, match="needs hardness, but the network gives logits"):
        loss(logits_BCHW, target_BHW)
    with pytest.raises(BadInput, match=r"does not take hardnes\. It takes: logits, hardness\."):
        loss(logits_BCHW, target_BHW, hardness=torch.zeros(2, 1, 8, 8), hardnes=None)
    with pytest.raises(BadInput, match=r"hardness \(3, 1, 8, 8\) for logits \(2, 3, 8, 8\)"):
        loss(logits_BCHW, target_BHW, hardness=torch.zeros(3, 1, 8, 8))
    with pytest.raises(BadInput, match="logits and target are Tensor and list"):
        loss(logits_BCHW, [[0]], hardness=torch.zeros(2, 1, 8, 8))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"logits torch.int64 \(2, 3, 8, 8\)"):
        loss(logits_BCHW.long(), target_BHW, hardness=torch.zeros(2, 1, 8, 8))


def test_a_device_that_the_host_does_not_wait_for_checks_the_labels_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on `meta`, which has no values to look at: what is asserted is a tensor, once for the sum."""
    asserted: list[tuple[Tensor, str]] = []
    monkeypatch.setattr(torch, "_assert_async", lambda *given: asserted.append(given))
    outputs = {"logits": torch.zeros(2, 3, 8, 8, device="meta")}
    class_indices("ce + cpg", outputs, torch.zeros(2, 8, 8, dtype=torch.uint8, device="meta"), [255, 255])
    ((holds, said),) = asserted
    assert (holds.shape, holds.dtype, holds.device.type) == ((), torch.bool, "meta")
    assert "loss ce + cpg: a target value is not a class of the logits (0-2) or the ignore index 255" in said
