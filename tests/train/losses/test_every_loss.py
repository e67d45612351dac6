"""What holds for every loss: gradients, ignored pixels, batches without labels, precision, resolution, devices."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    Loss,
    Lovasz,
    Ohem,
    Pat,
    Recall,
    Semeda,
    Ssl,
    Tversky,
)

B, C, H, W = 2, 4, 6, 7
Example = Callable[..., tuple[Tensor, Tensor, Tensor]]
TERMS: list[Loss] = [
    CrossEntropy(),
    Focal(),
    Focal(gamma=0.5),
    Ohem(),
    Ohem(threshold=0.0, min_kept=0.3),
    Ohem(min_kept=0.0),
    Hardness(),
    Recall(),
    Recall(reduction="weights"),
    Recall(smoothing=0.0),
    Recall(official=True),
    Pat(),
    Pat(k="classes"),
    Pat(k=2.0, homogenise=False),
    Cpg(),
    Cpg(kernel=5),
    Cpg(similarity="cosine"),
    Lmp(),
    Lmp(p=4.0, ratio=1.0),
    Dice(),
    Dice(smooth=1.0),
    Tversky(),
    Lovasz(),
    Abl(budget=0.2),
    Abl(budget=0.9, smoothing=0.0),
    Ssl(),
    Ssl(window=11, beta=0.5),
    Asl(),
    Asl(metric="fwiou"),
    Asl(metric="macc"),
    Asl(metric="gacc"),
    Asl(metric="bf1"),
    Asl(metric="biou"),
    Semeda(first=1, last=3),
    Dfr(),
    Dfr(scale=1.0, radius=2),
    Boundary(),
    Boundary(radius=1),
    BoundaryOhem(sure=0.3),
    Detail(),
]
every_term = pytest.mark.parametrize("term", TERMS, ids=str)

# a frozen network sees the classes in an order, and heads' outputs are the first class's logits here
ORDERED_CLASSES = ("semeda", "boundary", "boundary_ohem", "detail")
# its energy reads no labels: it is there for the pixels that have none
UNLABELLED_COUNT = ("dfr",)
# none: a term that the compiler cannot trace whole is named here, with the reason
UNCOMPILED = ()


def beside(term: Loss, logits_BCHW: Tensor, hardness_B1HW: Tensor, target_BHW: Tensor) -> dict[str, Any]:
    """What the term needs beside logits, on the target's device; it depends on the labels' shape alone.

    But for what boundary and detail heads give: that is the first class's logits, so that terms on them are tested too.
    """
    generator = torch.Generator().manual_seed(7)
    size = target_BHW.shape[-2:]
    weights = [torch.randn(3, planes, 3, 3, generator=generator).to(target_BHW.device) for planes in (C, 3, 3)]
    given = {
        "hardness": hardness_B1HW,
        "distance": 9 * torch.rand(B, *size, generator=generator).to(target_BHW.device),
        "image": torch.rand(B, 3, *size, generator=generator).to(target_BHW.device),
        "features": torch.randn(B, 5, *size, generator=generator).to(target_BHW.device),
        **heads_of(logits_BCHW),
        "edge_network": lambda maps_BCHW: edge_features(maps_BCHW, weights),
    }
    return {name: given[name] for name in (*term.needs, *term.accepts) if name in given}


def heads_of(logits_BCHW: Tensor) -> dict[str, Tensor]:
    """What boundary and detail heads give."""
    return {name: logits_BCHW[:, :1] for name in ("boundary", "detail")}


def edge_features(maps_BCHW: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """A small edge network, in whatever precision its input has."""
    features: list[Tensor] = []
    for weight in weights:
        maps_BCHW = F.conv2d(maps_BCHW, weight.to(maps_BCHW.dtype), padding=1).relu()
        features.append(maps_BCHW)
    return features


def value(term: Loss, logits_BCHW: Tensor, hardness_B1HW: Tensor, target_BHW: Tensor) -> Tensor:
    """The term, given everything that any loss needs."""
    return term(logits_BCHW, target_BHW, **beside(term, logits_BCHW, hardness_B1HW, target_BHW))


def value_and_gradient(
    term: Loss, logits_BCHW: Tensor, hardness_B1HW: Tensor, target_BHW: Tensor
) -> tuple[Tensor, Tensor]:
    """The term, and its gradient at the logits."""
    logits_BCHW = logits_BCHW.detach().requires_grad_()
    found = value(term, logits_BCHW, hardness_B1HW, target_BHW)
    return found.detach(), torch.autograd.grad(found, logits_BCHW)[0]


def test_every_loss_is_tested() -> None:
    assert {term.name for term in TERMS} == set(LOSSES)


@every_term
def test_gradients_are_those_of_the_value(example: Example, term: Loss) -> None:
    """HL is two losses with stopped gradients, ABL and SSL detach what they compare with: theirs are tested."""
    if isinstance(term, Hardness | Abl | Ssl):
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
    if term.name in UNLABELLED_COUNT:
        return
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
    if term.name in UNLABELLED_COUNT:
        return
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


@every_term
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_logits_of_ten_thousand_give_a_finite_value_and_gradient(
    example: Example, term: Loss, dtype: torch.dtype
) -> None:
    _, hardness_B1HW, target_BHW = example()
    generator = torch.Generator().manual_seed(3)
    logits_BCHW = 1e4 * (2 * torch.randint(0, 2, (B, C, H, W), generator=generator) - 1)
    for extreme_BCHW in (logits_BCHW, torch.full((B, C, H, W), 1e4)):
        found, gradient_BCHW = value_and_gradient(
            term, extreme_BCHW.to(dtype), 1e4 * hardness_B1HW.to(dtype), target_BHW
        )
        assert found.isfinite()
        assert gradient_BCHW.isfinite().all()


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_neither_value_nor_gradient(example: Example, term: Loss, dtype: torch.dtype) -> None:
    """Which it would where a matrix product or a convolution of it were computed in half precision."""
    logits_BCHW, hardness_B1HW, target_BHW = example()
    half = logits_BCHW.to(dtype), hardness_B1HW.to(dtype)
    found, gradient_BCHW = value_and_gradient(term, *half, target_BHW)
    with torch.autocast("cpu", dtype):
        cast, cast_gradient_BCHW = value_and_gradient(term, *half, target_BHW)
    assert gradient_BCHW.isfinite().all()
    assert torch.equal(cast, found)
    assert torch.equal(cast_gradient_BCHW, gradient_BCHW)


@every_term
def test_the_order_of_the_classes_does_not_matter(example: Example, term: Loss) -> None:
    if term.name in ORDERED_CLASSES:
        return
    logits_BCHW, hardness_B1HW, target_BHW = example(1)
    order = [2, 0, 3, 1]  # class c was order[c]
    new_class = torch.tensor([order.index(c) for c in range(C)])
    moved_BHW = new_class[target_BHW.clamp_max(C - 1)].where(target_BHW != 255, 255)
    found, gradient_BCHW = value_and_gradient(term, logits_BCHW, hardness_B1HW, target_BHW)
    moved, moved_gradient_BCHW = value_and_gradient(term, logits_BCHW[:, order], hardness_B1HW, moved_BHW)
    # float64, summed in another order
    torch.testing.assert_close(moved, found, rtol=1e-12, atol=0)
    torch.testing.assert_close(moved_gradient_BCHW, gradient_BCHW[:, order], rtol=1e-9, atol=1e-15)


@every_term
def test_no_forward_pass_makes_the_host_wait_for_a_gpu(monkeypatch: pytest.MonkeyPatch, term: Loss) -> None:
    """Traced without data, as if on a GPU: what depends on values raises, and what moves between devices is refused."""
    # autograd's engine needs a real GPU; some forward passes take their gradient along
    monkeypatch.setattr(
        torch.autograd, "grad", lambda _, inputs, *__, **___: [torch.zeros_like(leaf) for leaf in tree_leaves(inputs)]
    )
    with FakeTensorMode():
        logits_BCHW = torch.randn(B, C, H, W, device="cuda", requires_grad=True)
        hardness_B1HW = torch.randn(B, 1, H, W, device="cuda", requires_grad=True)
        target_BHW = torch.zeros(B, H, W, device="cuda", dtype=torch.long)
        given = beside(term, logits_BCHW, hardness_B1HW, target_BHW)
        with NoTransfer():
            found = term(logits_BCHW, target_BHW, **given)
    assert (found.device.type, found.shape, found.requires_grad) == ("cuda", (), True)


class NoTransfer(TorchDispatchMode):
    """Refuses copies between devices; scalars may be read from the host as a kernel's arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if len({tensor.device.type for tensor in tensors if copies or tensor.ndim}) > 1:
            raise AssertionError(f"{func} between devices")
        return result


@pytest.mark.parametrize(
    "wait",
    [
        lambda values_N: values_N.sum().item(),
        lambda values_N: bool(values_N.sum() > 0),
        lambda values_N: values_N[values_N > 0],
        lambda values_N: (values_N > 0).nonzero(),
        lambda values_N: values_N.long().bincount(minlength=3),
        lambda values_N: values_N.unique(),
        lambda values_N: values_N.cpu(),
        lambda values_N: values_N * torch.tensor(3.0, device="cuda"),
        lambda values_N: values_N * torch.tensor([3.0], device="cuda"),
    ],
)
def test_what_makes_the_host_wait_is_seen(wait: Callable[[Tensor], object]) -> None:
    waiting = (AssertionError, DataDependentOutputException, DynamicOutputShapeException)
    with FakeTensorMode(), NoTransfer():
        values_N = torch.rand(5, device="cuda")
        with pytest.raises(waiting):
            wait(values_N)


@every_term
def test_the_compiler_traces_every_loss_whole(example: Example, term: Loss) -> None:
    if term.name in UNCOMPILED:
        return
    logits_BCHW, hardness_B1HW, target_BHW = example()
    given = beside(term, logits_BCHW, hardness_B1HW, target_BHW)
    torch._dynamo.reset()

    def called(logits_BCHW: Tensor) -> Tensor:
        heads = {name: head_B1HW for name, head_B1HW in heads_of(logits_BCHW).items() if name in given}
        return term(logits_BCHW, target_BHW, **(given | heads))

    compiled = torch.compile(called, fullgraph=True, backend="aot_eager")
    logits_BCHW.requires_grad_()
    found = compiled(logits_BCHW)
    gradient_BCHW = torch.autograd.grad(found, logits_BCHW)[0]
    expected, expected_BCHW = value_and_gradient(term, logits_BCHW, hardness_B1HW, target_BHW)
    # float64, summed in another order
    torch.testing.assert_close(found.detach(), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient_BCHW, expected_BCHW, rtol=1e-9, atol=1e-15)


@pytest.mark.gpu
@every_term
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_gpu_gives_the_same_without_waiting(example: Example, term: Loss) -> None:
    tensors = example()
    expected, expected_BCHW = value_and_gradient(term, *tensors)
    logits_BCHW, hardness_B1HW, target_BHW = (tensor.cuda() for tensor in tensors)
    logits_BCHW.requires_grad_()
    given = beside(term, logits_BCHW, hardness_B1HW, target_BHW)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = term(logits_BCHW, target_BHW, **given)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    gradient_BCHW = torch.autograd.grad(found, logits_BCHW)[0]
    # float64, summed in another order
    torch.testing.assert_close(found.detach().cpu(), expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradient_BCHW.cpu(), expected_BCHW, rtol=1e-8, atol=1e-14)


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
