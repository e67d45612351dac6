"""Sums of losses, and their text."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hardedge.errors import BadInput
from hardedge.train.losses import (
    LOSSES,
    Abl,
    Asl,
    Boundary,
    BoundaryOhem,
    Cpg,
    CrossEntropy,
    Detail,
    Dfr,
    Dice,
    Focal,
    Hardness,
    Lmp,
    LossSum,
    Lovasz,
    Ohem,
    Pat,
    Recall,
    Semeda,
    Ssl,
    Term,
    Tversky,
    parse_loss,
)

positive = st.floats(1e-6, 1e6)
TERMS = {
    "ce": st.builds(CrossEntropy, ignore_index=st.integers(-1, 255)),
    "focal": st.builds(Focal, gamma=positive, sync=st.booleans()),
    "ohem": st.builds(Ohem, threshold=st.floats(0, 1), min_kept=st.floats(0, 1)),
    "pat": st.builds(Pat, k=st.just("classes") | positive, homogenise=st.booleans(), max_weight=st.floats(0.5, 1e6)),
    "lmp": st.builds(Lmp, p=st.floats(1, 1e6, exclude_min=True), ratio=st.floats(0, 1, exclude_min=True)),
    "hardness": st.builds(Hardness, alpha=positive, floor=positive, official=st.booleans()),
    "dice": st.builds(Dice, smooth=positive),
    "lovasz": st.builds(Lovasz, ignore_index=st.integers(-1, 255)),
    "tversky": st.builds(Tversky, alpha=positive, beta=positive, smooth=positive),
    "abl": st.builds(Abl, budget=st.floats(0, 1, exclude_min=True), max_distance=positive, sync=st.booleans()),
    "ssl": st.builds(Ssl, window=st.sampled_from([3, 11]), sigma=positive, c4=positive, sync=st.booleans()),
    "asl": st.builds(Asl, metric=st.sampled_from(["miou", "fwiou", "macc", "gacc", "bf1", "biou"]), sync=st.booleans()),
    "semeda": st.builds(Semeda, network=st.sampled_from(["", "it's/edges"]), last=st.integers(3, 8)),
    "dfr": st.builds(Dfr, radius=st.integers(1, 9), rgb=positive, scale=st.floats(0, 1, exclude_min=True)),
    "recall": st.builds(Recall, smoothing=positive, reduction=st.sampled_from(["valid", "weights"])),
    "boundary": st.builds(Boundary, radius=st.integers(1, 9)),
    "boundary_ohem": st.builds(
        BoundaryOhem,
        sure=st.floats(0, 1, exclude_min=True, exclude_max=True),
        threshold=st.floats(0, 1),
        min_kept=st.floats(0, 1),
    ),
    "detail": st.builds(Detail, official=st.booleans()),
    "cpg": st.builds(Cpg, kernel=st.sampled_from([3, 5, 7]), similarity=st.sampled_from(["dice", "cosine"])),
}


def test_every_name_of_the_table_is_that_of_its_loss() -> None:
    assert {name: kind.name for name, kind in LOSSES.items()} == {name: name for name in LOSSES}
    assert set(TERMS) == set(LOSSES)


@given(st.lists(st.sampled_from(list(TERMS)), min_size=1, unique=True), st.data())
def test_the_text_of_a_sum_parses_back_to_an_equal_sum(names: list[str], data: st.DataObject) -> None:
    starts = st.floats(0, 1, exclude_max=True)
    loss = LossSum(tuple(Term(data.draw(positive), data.draw(TERMS[name]), data.draw(starts)) for name in names))
    assert parse_loss(str(loss)) == loss


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("ce", 1 * CrossEntropy()),
        (" ce + 0.5 * cpg ", CrossEntropy() + 0.5 * Cpg()),
        ("ce+1e-3*cpg(kernel=5,similarity=cosine)", CrossEntropy() + 1e-3 * Cpg(kernel=5, similarity="cosine")),
        ("ce + cpg(similarity='cosine')", CrossEntropy() + Cpg(similarity="cosine")),
        ("ce + 0.5*cpg@0.8", CrossEntropy() + 0.5 * Cpg() @ 0.8),
        ("ce + cpg(kernel=5)@0.25", CrossEntropy() + Cpg(kernel=5) @ 0.25),
        ("pat(k=classes)", 1 * Pat(k="classes")),
        ("pat(k=2, homogenise=false)", 1 * Pat(k=2.0, homogenise=False)),
        ("2*hardness(alpha=1, official=true) + recall()", 2 * Hardness(alpha=1.0, official=True) + Recall()),
    ],
)
def test_text_and_arithmetic_give_the_same_sum(text: str, loss: LossSum) -> None:
    assert parse_loss(text) == loss


def test_sums_print_as_they_are_written() -> None:
    assert str(CrossEntropy() + 0.5 * Cpg(kernel=5)) == "ce + 0.5*cpg(kernel=5)"
    assert str(CrossEntropy() + 0.5 * Cpg() @ 0.8) == "ce + 0.5*cpg@0.8"
    assert str(1 * Hardness(official=True)) == "hardness(official=true)"
    assert str(2 * (CrossEntropy() + 0.5 * Cpg()) + Recall()) == "2.0*ce + cpg + recall"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ce + 0.5*cgp",
            'loss "ce [+] 0.5[*]cgp": unknown term cgp. Did you mean cpg[?] Known: ce, focal, ',
        ),
        (
            "cpg(kernal=5)",
            "cpg has no option kernal. Did you mean kernel[?] It has: kernel, similarity, sync, ignore_index",
        ),
        ("cpg(**{})", "cpg has no option"),
        ("cpg(kernel=big)", "cpg's kernel must be int, got big"),
        ("cpg(kernel=5.0)", "cpg's kernel must be int, got 5.0"),
        ("cpg(kernel=true)", "cpg's kernel must be int, got true"),
        ("hardness(alpha=much)", "hardness's alpha must be float, got much"),
        ("hardness(official=1)", "hardness's official must be true or false, got 1"),
        ("pat(k=labels)", "pat's k must be float or classes, got labels"),
        ("recall(reduction=sum)", "recall's reduction must be valid or weights, got sum"),
        ("cpg(kernel=4)", "kernel must be odd"),
        ("", "not readable. Write terms like ce"),
        ("ce +", "not readable"),
        ("ce cpg", "not readable"),
        ("cpg(kernel=3, kernel=5)", "gives an option twice"),
        ("ce - cpg", "ce - cpg is no term"),
        ("ce*2", "ce [*] 2 is no term"),
        ("2*(ce + cpg)", "ce [+] cpg is no term"),
        ("cpg(5)", r"cpg\(5\) is no term"),
        ("true*ce", "is no term"),
        ("3", "3 is no term"),
        ("__import__('os').system('ls')", "is no term"),
        ("ce + 0.5*ce", "ce appears twice"),
        ("0*ce", "the weight of ce is 0. Give a positive number"),
        ("ce + cpg@1.5", "cpg starts at 1.5. Give a share of the training below 1"),
        ("ce + cpg@late", "cpg @ late is no term"),
        ("ce + cpg@0.8*2", "cpg @ 0.8 [*] 2 is no term"),
        ("-1*ce", "the weight of ce is -1"),
        ("1e999*ce", "the weight of ce is inf"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_loss(text)


def test_a_sum_weighs_its_terms_and_reports_them_unweighted() -> None:
    logits_BCHW = torch.randn(2, 3, 8, 8, requires_grad=True)
    target_BHW = torch.randint(0, 3, (2, 8, 8))
    loss = 2 * CrossEntropy() + 0.5 * Cpg()
    total, terms = loss.with_terms({"logits": logits_BCHW}, target_BHW, progress=0.3)
    assert list(terms) == ["ce", "cpg"]
    assert terms["ce"].item() == CrossEntropy()(logits_BCHW, target_BHW).item()
    assert not any(term.requires_grad for term in terms.values())
    assert total.item() == pytest.approx(2 * terms["ce"].item() + 0.5 * terms["cpg"].item())
    total.backward()
    assert logits_BCHW.grad is not None


def test_a_sum_says_which_outputs_it_needs() -> None:
    loss = CrossEntropy() + Hardness()
    assert loss.needs == ("logits", "hardness")
    with pytest.raises(
        BadInput, match=r'"ce \+ hardness" needs hardness, but the network gives logits. Add the branch'
    ):
        loss({"logits": torch.zeros(1, 3, 4, 4)}, torch.zeros(1, 4, 4, dtype=torch.long))


def test_a_term_with_a_start_counts_from_there_on() -> None:
    loss = CrossEntropy() + 0.5 * Cpg() @ 0.8
    outputs, target_BHW = {"logits": torch.randn(2, 3, 8, 8)}, torch.randint(0, 3, (2, 8, 8))
    early, terms = loss.with_terms(outputs, target_BHW, progress=0.79)
    assert list(terms) == ["ce"]
    assert early == terms["ce"]
    late, terms = loss.with_terms(outputs, target_BHW, progress=0.8)
    assert late == terms["ce"] + 0.5 * terms["cpg"]
    assert loss(outputs, target_BHW) == late


def test_a_sum_that_has_not_begun_says_so() -> None:
    with pytest.raises(BadInput, match='loss "cpg@0.8": no term counts at 10% of the training'):
        (Cpg() @ 0.8)({"logits": torch.randn(1, 2, 4, 4)}, torch.zeros(1, 4, 4, dtype=torch.long), progress=0.1)
