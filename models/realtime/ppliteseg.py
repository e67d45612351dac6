"""PP-LiteSeg-T and -B (arXiv 2204.02681), with the state keys of Deci-AI/super-gradients.

An STDC backbone, pooled context (SPPM), and a decoder of attention between a coarse map and a fine one (UAFM). The
three auxiliary heads read the projected maps, as in that release; the authors' own read the decoder's.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.pooling import GridPool
from hardedge.models.realtime.stdc import STDC1_BLOCKS, STDC2_BLOCKS
from hardedge.models.segmenter import at_size_of

STEM = (32, 64)
WIDTHS = (256, 512, 1024)
CONTEXT = 128
GRIDS = (1, 2, 4)
AUXILIARY = (32, 64, 64)


@dataclass(frozen=True)
class Size:
    """What tells T and B apart: blocks of the backbone, channels of the projected maps, and of the decoder's."""

    blocks: tuple[int, ...]
    projected: tuple[int, ...]
    decoded: tuple[int, ...]


T = Size(STDC1_BLOCKS, (64, 128, 128), (128, 64, 32))
B = Size(STDC2_BLOCKS, (96, 128, 128), (128, 96, 64))


class ConvBnRelu(nn.Module):
    """Convolution, BatchNorm and, but for `relu` false, ReLU; its parts are under `seq`."""

    def __init__(
        self, inner: int, outer: int, kernel: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.seq = nn.Sequential()
        convolution = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.seq.add_module("conv", convolution)
        self.seq.add_module("bn", nn.BatchNorm2d(outer))
        if relu:
            self.seq.add_module("act", nn.ReLU())

    def forward(self, maps_BChw: Tensor) -> Tensor:
        out_BChw: Tensor = self.seq(maps_BChw)
        return out_BChw


class DenseBlock(nn.Module):
    """STDC's block under the names of this release: the depthwise convolution is in the list."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        first, second, third = outer // 2, outer // 4, outer // 8
        narrowing: nn.Module = ConvBnRelu(first, second)
        if stride == 2:
            narrowing = nn.Sequential(ConvBnRelu(first, first, stride=2, groups=first, relu=False), narrowing)
        self.conv_list = nn.ModuleList(
            (ConvBnRelu(inner, first, kernel=1), narrowing, ConvBnRelu(second, third), ConvBnRelu(third, third))
        )
        self.skip_step1 = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else nn.Identity()

    def forward(self, maps_BChw: Tensor) -> Tensor:
        last_BChw = self.conv_list[0](maps_BChw)
        kept = [self.skip_step1(last_BChw)]
        for convolution in self.conv_list[1:]:
            last_BChw = convolution(last_BChw)
            kept.append(last_BChw)
        return torch.cat(kept, 1)


class Backbone(nn.Module):
    """Images to maps at strides 8, 16 and 32."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleDict()
        inner = 3
        for number, width in enumerate(STEM, 1):
            self.stages[f"block_s{2**number}"] = nn.Sequential(ConvBnRelu(inner, width, stride=2))
            inner = width
        for number, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True), 3):
            rest = (DenseBlock(width, width, 1) for _ in range(1, count))
            self.stages[f"block_s{2**number}"] = nn.Sequential(DenseBlock(inner, width, 2), *rest)
            inner = width

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        maps, last_BChw = [], images_BCHW
        for stage in self.stages.values():
            last_BChw = stage(last_BChw)
            maps.append(last_BChw)
        return maps[len(STEM) :]


class PooledContext(nn.Module):
    """SPPM: the deepest map pooled to three grids, each convolved and resized back; their sum is convolved."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(GridPool(grid), ConvBnRelu(inner, outer, 1)) for grid in GRIDS)
        self.conv_out = ConvBnRelu(outer, outer)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        pooled = [at_size_of(branch(maps_BChw), maps_BChw) for branch in self.branches]
        context_BChw: Tensor = self.conv_out(sum(pooled[1:], pooled[0]))
        return context_BChw


class Encoder(nn.Module):
    """The backbone's maps, projected, at strides 8, 16 and 32, and the context last."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.backbone = Backbone(size.blocks)
        self.context_module = PooledContext(WIDTHS[-1], CONTEXT)
        self.proj_convs = nn.ModuleList(
            ConvBnRelu(inner, outer) for inner, outer in zip(WIDTHS, size.projected, strict=True)
        )

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        maps = self.backbone(images_BCHW)
        projected = [convolution(map_BChw) for convolution, map_BChw in zip(self.proj_convs, maps, strict=True)]
        return [*projected, self.context_module(maps[-1])]


class AttentionFusion(nn.Module):
    """UAFM: a coarse map and a fine one, mixed by a share that is seen in both maps' means and maxima over channels."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv_atten = nn.Sequential(ConvBnRelu(4, 2), ConvBnRelu(2, 1, relu=False))
        self.conv_out = ConvBnRelu(inner, outer)

    def forward(self, coarse_BChw: Tensor, fine_BChw: Tensor) -> Tensor:
        coarse_BChw = at_size_of(coarse_BChw, fine_BChw)
        seen = [
            reduced_B1hw
            for map_BChw in (coarse_BChw, fine_BChw)
            for reduced_B1hw in (map_BChw.mean(1, keepdim=True), map_BChw.amax(1, keepdim=True))
        ]
        share_B1hw = self.conv_atten(torch.cat(seen, 1)).sigmoid()
        fused_BChw: Tensor = self.conv_out(coarse_BChw * share_B1hw + fine_BChw * (1 - share_B1hw))
        return fused_BChw


class Decoder(nn.Module):
    """From the encoder's maps the one that the decode head reads, at stride 8."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        inner = (CONTEXT, *size.decoded)
        self.up_stages = nn.ModuleList(
            AttentionFusion(into, outer) for into, outer in zip(inner, size.decoded, strict=False)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        last_BChw = maps[-1]
        for stage, fine_BChw in zip(self.up_stages, maps[-2::-1], strict=True):
            last_BChw = stage(last_BChw, fine_BChw)
        return last_BChw


class Head(nn.Module):
    """A 3x3 convolution and a 1x1 one to logits, at the map's own size."""

    def __init__(self, inner: int, width: int, channels: int) -> None:
        super().__init__()
        # between them the release has a dropout of rate 0
        layers = (ConvBnRelu(inner, width), nn.Identity(), nn.Conv2d(width, channels, 1, bias=False))
        self.seg_head = nn.Sequential(*layers)

    def forward(self, maps_BChw: Tensor) -> Tensor:
        logits_BChw: Tensor = self.seg_head(maps_BChw)
        return logits_BChw


class PpLiteSeg(nn.Module):
    """The network of a size; `decoder` gives the map that the decode head reads, `encoder` those of the auxiliaries."""

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        self.decoder = Decoder(size)
        self.seg_head = head(size, num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return at_size_of(self.seg_head(self.decoder(self.encoder(images_BCHW))), images_BCHW)


def head(size: Size, channels: int) -> nn.Sequential:
    """A decode head on the decoder's map; logits at stride 8."""
    return nn.Sequential(Head(size.decoded[-1], size.decoded[-1], channels))


class AuxiliaryHeads(nn.Module):
    """The auxiliary heads of the training, on the projected maps; three maps of logits."""

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        pairs = zip(size.projected, AUXILIARY, strict=True)
        self.aux_heads = nn.ModuleList(nn.Sequential(Head(inner, width, num_classes)) for inner, width in pairs)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(head(map_BChw) for head, map_BChw in zip(self.aux_heads, maps, strict=False))


def _ppliteseg(name: str, size: Size) -> Architecture:
    return Architecture(
        name=name,
        build=partial(PpLiteSeg, size),
        tap="decoder",
        head=partial(head, size),
        auxiliary=Auxiliary("encoder", partial(AuxiliaryHeads, size)),
        backbone="encoder.backbone",
    )


PPLITESEG_T = _ppliteseg("ppliteseg_t", T)
PPLITESEG_B = _ppliteseg("ppliteseg_b", B)
