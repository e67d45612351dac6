"""Residual blocks and the head of DDRNet (arXiv 2101.06085) and PIDNet (arXiv 2206.02066), with their state keys."""

from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.segmenter import at_size_of

BOTTLENECK_EXPANSION = 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `relu` says whether one follows the sum."""

    def __init__(self, inner: int, outer: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = _shortcut(inner, outer, stride)
        self.relu = relu

    def forward(self, maps_BChw: Tensor) -> Tensor:
        inner_BChw = F.relu(self.bn1(self.conv1(maps_BChw)))
        sum_BChw: Tensor = self.bn2(self.conv2(inner_BChw)) + _beside(self.downsample, maps_BChw)
        return F.relu(sum_BChw) if self.relu else sum_BChw


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 to twice the width, beside a shortcut; no ReLU follows the sum."""

    def __init__(self, inner: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outer = BOTTLENECK_EXPANSION * width
        self.conv1 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = _shortcut(inner, outer, stride)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        inner_BChw = F.relu(self.bn1(self.conv1(maps_BChw)))
        inner_BChw = F.relu(self.bn2(self.conv2(inner_BChw)))
        sum_BChw: Tensor = self.bn3(self.conv3(inner_BChw)) + _beside(self.downsample, maps_BChw)
        return sum_BChw


def _shortcut(inner: int, outer: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inner == outer:
        return None
    return nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))


def _beside(downsample: nn.Module | None, maps_BChw: Tensor) -> Tensor:
    return maps_BChw if downsample is None else downsample(maps_BChw)


def basic_stage(inner: int, outer: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` basic blocks, the first with the stride; no ReLU behind the last."""
    first = BasicBlock(inner, outer, stride)
    return nn.Sequential(first, *(BasicBlock(outer, outer, relu=number < count - 1) for number in range(1, count)))


def bottleneck_stage(inner: int, width: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` bottlenecks, the first with the stride; twice the width comes out."""
    wide = BOTTLENECK_EXPANSION * width
    return nn.Sequential(Bottleneck(inner, width, stride), *(Bottleneck(wide, width) for _ in range(1, count)))


def stem(width: int) -> nn.Sequential:
    """Two 3x3 convolutions, to stride 4; they have biases, as the released weights do."""
    first = (nn.Conv2d(3, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
    second = (nn.Conv2d(width, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(*first, *second)


def projection(inner: int, outer: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution and BatchNorm."""
    convolution = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer))


class AddResized(nn.Module):
    """The sum of a fine map and a coarse one at its size; a module of its own, so that a branch can tap it."""

    def forward(self, fine_BChw: Tensor, coarse_BChw: Tensor) -> Tensor:
        return fine_BChw + at_size_of(coarse_BChw, fine_BChw)


class PreActivatedHead(nn.Module):
    """BatchNorm, ReLU, 3x3, BatchNorm, ReLU, 1x1: logits at the map's own size."""

    def __init__(self, inner: int, width: int, channels: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv1 = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, channels, 1)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        wide_BChw = self.conv1(F.relu(self.bn1(maps_BChw)))
        logits_BChw: Tensor = self.conv2(F.relu(self.bn2(wide_BChw)))
        return logits_BChw


class AuxiliaryHead(PreActivatedHead):
    """The same head as an auxiliary one: a tuple of one map of logits."""

    def forward(self, maps_BChw: Tensor) -> tuple[Tensor]:  # type: ignore[override]  # auxiliary heads give tuples
        return (super().forward(maps_BChw),)


def initialise(network: nn.Module) -> None:
    """Convolutions as He et al. have them, by their output (arXiv 1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
