"""What holds for every loss: gradients, ignored pixels, batches without labels, precision, resolution."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import Cpg, CrossEntropy, Hardness, Loss, Recall

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
TERMS: list[Loss] = [
    CrossEntropy(),
    Hardness(),
    Recall(),
    Recall(reduction="weights"),
    Recall(smoothing=0.0),
    Recall(official=True),
    Cpg(),
    Cpg(kernel=5),
    Cpg(similarity="cosine"),
]
every_term = pytest.mark.parametrize("term", TERMS, ids=str)


# their pairwise part is there for the pixels without a label
UNLABELLED_COUNT = ("dfr",)


def value(term: Loss, logits_BCHW: Tensor, hardness_B1HW: Tensor, target_BHW: Tensor) -> Tensor:
    """The term, given everything that any loss needs; image and features depend on the labels' shape alone."""
    generator = torch.Generator().manual_seed(7)
    size = target_BHW.shape[-2:]
    given = {
        "hardness": hardness_B1HW,
        "image": torch.rand(B, 3, *size, generator=generator),
        "features": torch.randn(B, 5, *size, generator=generator),
    }
    return term(logits_BCHW, target_BHW, **{need: given[need] for need in term.needs if need != "logits"})


@every_term
def test_gradients_are_those_of_the_value(example: Example, term: Loss) -> None:
    """HL is two losses with stopped gradients, so its own gradient is tested against the formula instead."""
    if isinstance(term, Hardness):
        return
    logits_BCHW, hardness_B1HW, target_BHW = example()
    logits_BCHW.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logits_BCHW: value(term, logits_BCHW, hardness_B1HW, target_BHW), (logits_BCHW,), fast_mode=True
    )


@every_term
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1.0, 1e4, 1e30, 1e38]))
def test_ignored_pixels_change_nothing(example: Example, term: Loss, seed: int, scale: float) -> None:
    logits_BCHW, hardness_B1HW, target_BHW = (tensor.clone() for tensor in example(seed, ignored=0.15))
    ignored_BHW = target_BHW == 255
    generator = torch.Generator().manual_seed(seed)
    results = []
    for noise in (0.0, scale):
        junk_BCHW = noise * (2 * torch.rand(B, C + 1, H, W, generator=generator) - 1)
        logits = torch.where(ignored_BHW[:, None], junk_BCHW[:, :C], logits_BCHW.float()).requires_grad_()
        hardness = torch.where(ignored_BHW[:, None], junk_BCHW[:, C:], hardness_B1HW.float()).requires_grad_()
        found = value(term, logits, hardness, target_BHW)
        found.backward()
        hardness_grad = hardness.grad if "hardness" in term.needs else torch.zeros_like(hardness)
        assert (logits.grad.movedim(1, -1)[ignored_BHW] == 0).all()
        assert (hardness_grad[:, 0][ignored_BHW] == 0).all()
        results.append((found.detach(), logits.grad, hardness_grad))
    for clean, noisy in zip(*results, strict=True):
        assert torch.equal(clean, noisy)


@every_term
@pytest.mark.parametrize("official", [False, True])
def test_a_batch_without_labels_gives_a_zero_that_can_be_differentiated(term: Loss, official: bool) -> None:
    if official and isinstance(term, Hardness):
        term = Hardness(official=True)
    logits_BCHW = torch.randn(B, C, H, W, requires_grad=True)
    hardness_B1HW = torch.randn(B, 1, H, W, requires_grad=True)
    found = value(term, logits_BCHW, hardness_B1HW, torch.full((B, H, W), 255))
    found.backward()
    assert found.item() == 0
    assert torch.equal(logits_BCHW.grad, torch.zeros_like(logits_BCHW))
    if "hardness" in term.needs:
        assert torch.equal(hardness_B1HW.grad, torch.zeros_like(hardness_B1HW))


@every_term
def test_low_resolution_is_upsampled_bilinearly_inside(example: Example, term: Loss) -> None:
    generator = torch.Generator().manual_seed(1)
    logits_BCHW = torch.randn(B, C, 3, 4, generator=generator)
    hardness_B1HW = torch.randn(B, 1, 2, 3, generator=generator)
    target_BHW = example()[2]
    full = [F.interpolate(low, size=(H, W), mode="bilinear") for low in (logits_BCHW, hardness_B1HW)]
    assert torch.equal(value(term, logits_BCHW, hardness_B1HW, target_BHW), value(term, *full, target_BHW))


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(example: Example, term: Loss, dtype: torch.dtype) -> None:
    logits_BCHW, hardness_B1HW, target_BHW = example()
    half = logits_BCHW.to(dtype), hardness_B1HW.to(dtype)
    found = value(term, *half, target_BHW)
    assert found.dtype == torch.float32
    assert torch.equal(found, value(term, half[0].float(), half[1].float(), target_BHW))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cpg(kernel=4), r'loss "cpg\(kernel=4\)": kernel must be odd'),
        (lambda: Cpg(kernel=1), "kernel must be odd and at least 3"),
        (lambda: Hardness(floor=0.0), "alpha and floor must be positive"),
        (lambda: Hardness(alpha=-1.0), "alpha and floor must be positive"),
        (lambda: Recall(smoothing=-1.0), "smoothing must not be negative"),
        (lambda: Recall(official=True, reduction="weights"), "official fixes smoothing and reduction"),
    ],
)
def test_hyper_parameters_that_mean_nothing_are_refused(make: Callable[[], Loss], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()
