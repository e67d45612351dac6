"""Options of a loss that are wrong are refused where it is made, and sums say what speaks against them."""

import math

import pytest
import torch

from hardedge.errors import BadInput
from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import Asl, Cpg, Hardness, Recall, Tversky, parse_loss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recall(reduction="weigths"), "reduction is 'weigths'. Give one of: valid, weights"),
        (lambda: Cpg(similarity="cos"), "similarity is 'cos'. Give one of: dice, cosine"),
        (lambda: Recall(smoothing=math.inf), "smoothing is inf. Give a finite number"),
        (lambda: Recall(smoothing=math.nan), "smoothing is nan. Give a finite number"),
        (lambda: Hardness(alpha=math.inf), "alpha is inf. Give a finite number"),
        (lambda: Tversky(alpha=math.inf), "alpha is inf. Give a finite number"),
    ],
)
def test_a_value_that_is_no_choice_or_not_finite_is_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=message):
        make()


def test_a_branch_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is faithfull, expected light or faithful"):
        HardnessBranch("faithfull")  # type: ignore[arg-type]


def test_two_metrics_of_one_loss_add_up_and_are_told_apart() -> None:
    loss = parse_loss("asl + 0.5*asl(metric=biou)")
    logits_BCHW, target_BHW = torch.randn(1, 3, 16, 16), torch.randint(0, 3, (1, 16, 16))
    total, terms = loss.with_terms({"logits": logits_BCHW}, target_BHW)
    assert list(terms) == ["asl", "asl(metric=biou)"]
    expected = Asl()(logits_BCHW, target_BHW) + 0.5 * Asl(metric="biou")(logits_BCHW, target_BHW)
    torch.testing.assert_close(total, expected)
    assert str(loss) == "asl + 0.5*asl(metric=biou)"


@pytest.mark.parametrize("alone", ["cpg", "abl", "ssl", "asl(metric=bf1)", "semeda", "dfr", "cpg + asl(metric=biou)"])
def test_terms_that_see_no_regions_are_warned_of_where_they_stand_alone(alone: str) -> None:
    (warning,) = parse_loss(alone).warnings()
    assert "made to stand beside cross-entropy" in warning
    assert parse_loss(f"ce + {alone}").warnings() == ()
