"""What every loss says of a target that is none."""

import pytest
import torch

from hardedge.errors import BadInput
from hardedge.train.losses.parse import parse_loss

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
    assert torch.isfinite(loss({"logits": logits_BCHW}, target_BHW)[0])


@pytest.mark.parametrize("name", PLAIN)
def test_a_target_of_another_type_or_shape_is_told_with_what_was_found(name: str) -> None:
    logits_BCHW, target_BHW = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    for wrong in (target_BHW.float(), target_BHW.to(torch.uint8), target_BHW[:1], target_BHW[:, None]):
        with pytest.raises(BadInput, match=rf"loss {name}: logits .* and target {wrong.dtype} "):
            parse_loss(name)({"logits": logits_BCHW}, wrong)
