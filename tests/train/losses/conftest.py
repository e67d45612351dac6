"""A small batch that every loss is tested on, and its cross-entropy written with loops."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

B, C, H, W = 2, 4, 6, 7


@pytest.fixture(scope="session")
def example() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Makes float64 logits, hardness logits, and blocky labels, a share of them ignored: 2 images, 4 classes, 6x7."""
    return _example


def _example(seed: int = 0, ignored: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits_BCHW = 2 * torch.randn(B, C, H, W, generator=generator, dtype=torch.float64)
    hardness_B1HW = torch.randn(B, 1, H, W, generator=generator, dtype=torch.float64)
    blocks = torch.randint(0, C, (B, 2, 3), generator=generator)
    target_BHW = blocks.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :H, :W]
    target_BHW = F.pad(target_BHW, (0, W - target_BHW.shape[2]), value=1)
    dropped_BHW = torch.rand(B, H, W, generator=generator) < ignored
    return logits_BCHW, hardness_B1HW, target_BHW.masked_fill(dropped_BHW, 255)


@pytest.fixture(scope="session")
def labelled() -> Callable[[Tensor], list[tuple[int, int, int]]]:
    """The (image, row, column) of the pixels that are not ignored."""
    return _labelled


def _labelled(target_BHW: Tensor) -> list[tuple[int, int, int]]:
    return [(b, i, j) for b, i, j in (target_BHW != 255).nonzero().tolist()]


@pytest.fixture(scope="session")
def pixel_loss() -> Callable[[Tensor, Tensor, int, int, int], float]:
    """The cross-entropy of one pixel."""
    return _pixel_loss


def _pixel_loss(logits_BCHW: Tensor, target_BHW: Tensor, b: int, i: int, j: int) -> float:
    scores = logits_BCHW[b, :, i, j].tolist()
    return math.log(sum(math.exp(score) for score in scores)) - scores[int(target_BHW[b, i, j])]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads only cost at this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
