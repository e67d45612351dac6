"""Each loss against float64 loops written from its formula, its gradients, and what ignored pixels may not do."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses import Cpg, CrossEntropy, Hardness, Loss, Recall
from hardedge.train.losses.cpg import sobel

B, C, H, W = 2, 4, 6, 7
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


def example(seed: int = 0, ignored: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """float64 logits, hardness logits, and blocky labels of which some are ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits_BCHW = 2 * torch.randn(B, C, H, W, generator=generator, dtype=torch.float64)
    hardness_B1HW = torch.randn(B, 1, H, W, generator=generator, dtype=torch.float64)
    blocks = torch.randint(0, C, (B, 2, 3), generator=generator)
    target_BHW = blocks.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :H, :W]
    target_BHW = F.pad(target_BHW, (0, W - target_BHW.shape[2]), value=1)
    dropped_BHW = torch.rand(B, H, W, generator=generator) < ignored
    return logits_BCHW, hardness_B1HW, target_BHW.masked_fill(dropped_BHW, 255)


def value(term: Loss, logits_BCHW: Tensor, hardness_B1HW: Tensor, target_BHW: Tensor) -> Tensor:
    outputs = {"logits": logits_BCHW, "hardness": hardness_B1HW}
    beside = {need: outputs[need] for need in term.needs if need != "logits"}
    return term(outputs["logits"], target_BHW, **beside)


def pixels(target_BHW: Tensor) -> list[tuple[int, int, int]]:
    return [(b, i, j) for b in range(B) for i in range(H) for j in range(W) if target_BHW[b, i, j] != 255]


def pixel_loss(logits_BCHW: Tensor, target_BHW: Tensor, b: int, i: int, j: int) -> float:
    scores = logits_BCHW[b, :, i, j].tolist()
    return math.log(sum(math.exp(score) for score in scores)) - scores[int(target_BHW[b, i, j])]


# references, one a method


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits_BCHW, _, target_BHW = example()
    losses = [pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in pixels(target_BHW)]
    found = CrossEntropy()(logits_BCHW, target_BHW)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


@pytest.mark.parametrize("official", [False, True])
def test_hardness_is_the_weighted_sum_less_the_branchs_share(official: bool) -> None:
    logits_BCHW, hardness_B1HW, target_BHW = example()
    raw = {
        (b, i, j): 1 / (1 + math.exp(-hardness_B1HW[b, 0, i, j])) + 0.1
        for b in range(B)
        for i in range(H)
        for j in range(W)
    }
    labelled = pixels(target_BHW)
    total = sum(raw.values()) if official else sum(raw[pixel] for pixel in labelled)
    segmentation = sum(raw[pixel] / total * pixel_loss(logits_BCHW, target_BHW, *pixel) for pixel in labelled)
    found = Hardness(official=official)(logits_BCHW, target_BHW, hardness=hardness_B1HW)
    assert found.item() == pytest.approx(segmentation - 0.01 * segmentation, rel=1e-12)


@pytest.mark.parametrize("official", [False, True])
def test_hardness_gives_each_part_its_own_gradient(official: bool) -> None:
    """The branch: -alpha s'(D) (l - mean) / Z, on labelled pixels (methods.md); the network: H (softmax - one-hot)."""
    logits_BCHW, hardness_B1HW, target_BHW = example()
    logits_BCHW.requires_grad_()
    hardness_B1HW.requires_grad_()
    Hardness(alpha=0.3, official=official)(logits_BCHW, target_BHW, hardness=hardness_B1HW).backward()
    valid_BHW = target_BHW != 255
    with torch.no_grad():
        sigmoid_BHW = hardness_B1HW[:, 0].sigmoid()
        counted_BHW = torch.ones_like(valid_BHW) if official else valid_BHW
        total = ((sigmoid_BHW + 0.1) * counted_BHW).sum()
        weights_BHW = (sigmoid_BHW + 0.1) * counted_BHW / total
        known_BHW = target_BHW * valid_BHW
        probabilities_BCHW = logits_BCHW.softmax(1)
        loss_BHW = -probabilities_BCHW.gather(1, known_BHW[:, None])[:, 0].log() * valid_BHW
        branch_BHW = -0.3 * sigmoid_BHW * (1 - sigmoid_BHW) * (loss_BHW - (weights_BHW * loss_BHW).sum()) / total
        one_hot_BCHW = F.one_hot(known_BHW, C).movedim(-1, 1)
        network_BCHW = (weights_BHW * valid_BHW)[:, None] * (probabilities_BCHW - one_hot_BCHW)
    torch.testing.assert_close(hardness_B1HW.grad[:, 0], branch_BHW * counted_BHW, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(logits_BCHW.grad, network_BCHW, rtol=1e-10, atol=1e-14)


def test_equal_losses_teach_the_branch_nothing() -> None:
    _, hardness_B1HW, target_BHW = example(ignored=0.2)
    hardness_B1HW.requires_grad_()
    Hardness()(torch.zeros(B, C, H, W, dtype=torch.float64), target_BHW, hardness=hardness_B1HW).backward()
    assert hardness_B1HW.grad.abs().max() < 1e-17


def test_a_flat_hardness_is_cross_entropy() -> None:
    """H = 1/n everywhere, so (1 - alpha) times the mean."""
    logits_BCHW, _, target_BHW = example()
    found = Hardness()(logits_BCHW, target_BHW, hardness=torch.full((B, 1, H, W), 0.7, dtype=torch.float64))
    assert found.item() == pytest.approx(0.99 * CrossEntropy()(logits_BCHW, target_BHW).item(), rel=1e-12)


@pytest.mark.parametrize("term", [Recall(), Recall(smoothing=0.5, reduction="weights"), Recall(official=True)], ids=str)
def test_recall_weighs_each_class_by_its_misses(term: Recall) -> None:
    logits_BCHW, _, target_BHW = example()
    labelled = pixels(target_BHW)
    missed, count = [0] * C, [0] * C
    for b, i, j in labelled:
        label = int(target_BHW[b, i, j])
        count[label] += 1
        missed[label] += int(logits_BCHW[b, :, i, j].argmax()) != label
    if term.official:
        weight = [max(fn, 1) / max(n, 1) for fn, n in zip(missed, count, strict=True)]
    else:
        weight = [(fn + term.smoothing) / (n + term.smoothing) for fn, n in zip(missed, count, strict=True)]
    weights = [weight[int(target_BHW[pixel])] for pixel in labelled]
    total = sum(w * pixel_loss(logits_BCHW, target_BHW, *pixel) for w, pixel in zip(weights, labelled, strict=True))
    expected = total / (sum(weights) if term.reduction == "weights" else len(labelled))
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("term", [Recall(), Recall(official=True)], ids=str)
def test_recall_of_a_batch_that_is_all_wrong_is_cross_entropy(term: Recall) -> None:
    _, _, target_BHW = example()
    wrong_BHW = (target_BHW + 1) % C  # 255 may become anything
    logits_BCHW = 3 * F.one_hot(wrong_BHW, C).movedim(-1, 1).double()
    assert term(logits_BCHW, target_BHW).item() == pytest.approx(CrossEntropy()(logits_BCHW, target_BHW).item())


def test_official_recall_of_a_perfect_batch_weighs_one_over_the_count() -> None:
    _, _, target_BHW = example()
    valid_BHW = target_BHW != 255
    logits_BCHW = 3 * F.one_hot(target_BHW * valid_BHW, C).movedim(-1, 1).double()
    counts_C = torch.bincount(target_BHW[valid_BHW], minlength=C)
    loss = math.log(1 + (C - 1) * math.exp(-3))
    expected = sum(loss for count in counts_C if count) / valid_BHW.sum()
    assert Recall(official=True)(logits_BCHW, target_BHW).item() == pytest.approx(expected.item())


def sobel_at(map_HW: Tensor, i: int, j: int) -> tuple[float, float]:
    """The 3x3 Sobel pair over 8, with replicated borders."""
    down = right = 0.0
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            pixel = map_HW[min(max(i + di, 0), H - 1), min(max(j + dj, 0), W - 1)].item()
            down += di * (2 - abs(dj)) * pixel / 8
            right += dj * (2 - abs(di)) * pixel / 8
    return down, right


@pytest.mark.parametrize("similarity", ["dice", "cosine"])
def test_cpg_compares_gradients_at_the_labels_boundaries(similarity: str) -> None:
    logits_BCHW, _, target_BHW = example(ignored=0.04)
    probabilities_BCHW = logits_BCHW.softmax(1)
    terms = []
    for b, i, j in pixels(target_BHW):
        window = target_BHW[b, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        if (window == 255).any():
            continue
        for c in range(C):
            truth = sobel_at((target_BHW[b] == c).double(), i, j)
            if truth == (0, 0):
                continue
            found = sobel_at(probabilities_BCHW[b, c], i, j)
            product = truth[0] * found[0] + truth[1] * found[1]
            squares = math.hypot(*truth) ** 2, math.hypot(*found) ** 2
            terms.append(
                1 - (2 * product / sum(squares) if similarity == "dice" else product / math.prod(squares) ** 0.5)
            )
    assert len(terms) > 20
    # cosine carries an epsilon of 1e-8 on squares of at least 1e-4
    found = Cpg(similarity=similarity)(logits_BCHW, target_BHW)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(sum(terms) / len(terms), rel=1e-12 if similarity == "dice" else 1e-4)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_sobel_of_a_ramp_is_its_slope(kernel: int) -> None:
    ramp_BCHW = (2 * torch.arange(12.0)[:, None] - 3 * torch.arange(13.0)[None]).expand(1, 1, 12, 13)
    inside = slice(kernel // 2, -(kernel // 2))
    down_BCHW, right_BCHW = sobel(ramp_BCHW, kernel)[..., inside, inside]
    assert torch.equal(down_BCHW, torch.full_like(down_BCHW, 2))
    assert torch.equal(right_BCHW, torch.full_like(right_BCHW, -3))


@pytest.mark.parametrize("similarity", ["dice", "cosine"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_cpg_is_zero_where_the_prediction_is_the_label(kernel: int, similarity: str) -> None:
    _, _, target_BHW = example(ignored=0.0)
    logits_BCHW = 1000 * F.one_hot(target_BHW, C).movedim(-1, 1).float()
    found = Cpg(kernel=kernel, similarity=similarity)(logits_BCHW, target_BHW)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("change", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)])
def test_cpg_does_not_see_flips_and_transposition(kernel: int, change: Callable[[Tensor], Tensor]) -> None:
    logits_BCHW, _, target_BHW = example(ignored=0.04)
    turned = Cpg(kernel=kernel)(change(logits_BCHW), change(target_BHW))
    assert turned.item() == pytest.approx(Cpg(kernel=kernel)(logits_BCHW, target_BHW).item(), rel=1e-12)


def test_cpg_has_no_gradient_off_the_boundary_band() -> None:
    target_BHW = torch.zeros(1, 12, 12, dtype=torch.long)
    target_BHW[:, :, 6:] = 1  # gradients in columns 5 and 6, their windows reach 4 to 7
    logits_BCHW = torch.randn(1, 3, 12, 12, requires_grad=True)
    Cpg()(logits_BCHW, target_BHW).backward()
    columns_W = logits_BCHW.grad.abs().amax((0, 1, 2))
    assert (columns_W > 0).tolist() == [4 <= column <= 7 for column in range(12)]


# what holds for all


@every_term
def test_gradients_are_those_of_the_value(term: Loss) -> None:
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
def test_ignored_pixels_change_nothing(term: Loss, seed: int, scale: float) -> None:
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
def test_low_resolution_is_upsampled_bilinearly_inside(term: Loss) -> None:
    generator = torch.Generator().manual_seed(1)
    logits_BCHW = torch.randn(B, C, 3, 4, generator=generator)
    hardness_B1HW = torch.randn(B, 1, 2, 3, generator=generator)
    target_BHW = example()[2]
    full = [F.interpolate(low, size=(H, W), mode="bilinear") for low in (logits_BCHW, hardness_B1HW)]
    assert torch.equal(value(term, logits_BCHW, hardness_B1HW, target_BHW), value(term, *full, target_BHW))


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(term: Loss, dtype: torch.dtype) -> None:
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
