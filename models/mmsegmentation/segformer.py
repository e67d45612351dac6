"""SegFormer-B0 to -B5 (arXiv 2105.15203) as mmsegmentation has them, under its names.

Its decode head has a BatchNorm and a ReLU behind each map's 1x1 convolution, and 256 channels for every size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture
from hardedge.models.mmsegmentation.networks import ConvModule
from hardedge.models.segmenter import at_size_of

CHANNELS = 256
DROPOUT = 0.1
EPS = 1e-6
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
EXPANSION = 4


@dataclass(frozen=True)
class Size:
    """What tells the sizes apart: channels and blocks of the four stages."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]


_WIDE = (64, 128, 320, 512)
SIZES = {
    "b0": Size((32, 64, 160, 256), (2, 2, 2, 2)),
    "b1": Size(_WIDE, (2, 2, 2, 2)),
    "b2": Size(_WIDE, (3, 4, 6, 3)),
    "b3": Size(_WIDE, (3, 4, 18, 3)),
    "b4": Size(_WIDE, (3, 8, 27, 3)),
    "b5": Size(_WIDE, (3, 6, 40, 3)),
}
NAMES = tuple(f"mmseg_segformer_{size}" for size in SIZES)


def _map_of(tokens_BNC: Tensor, like_BChw: Tensor) -> Tensor:
    """The tokens as a map of the other's height and width."""
    return tokens_BNC.transpose(1, 2).reshape(tokens_BNC.shape[0], -1, *like_BChw.shape[-2:])


def _tokens_of(map_BChw: Tensor) -> Tensor:
    return map_BChw.flatten(2).transpose(1, 2)


class PatchEmbedding(nn.Module):
    """A convolution with overlap, and LayerNorm on its tokens."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(inner, outer, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(outer, eps=EPS)

    def forward(self, map_BChw: Tensor) -> tuple[Tensor, Tensor]:
        embedded_BChw = self.projection(map_BChw)
        return self.norm(_tokens_of(embedded_BChw)), embedded_BChw


class Projections(nn.Module):
    """The weights of torch's multi-head attention under their names; a query attends to reduced tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query_BNC: Tensor, reduced_BMC: Tensor) -> Tensor:
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        sources = (query_BNC, reduced_BMC, reduced_BMC)
        query, key, value = (
            self._split(F.linear(source, weight, bias))
            for source, weight, bias in zip(sources, weights, biases, strict=True)
        )
        share_BHNM = (query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)).softmax(-1)
        attended_BNC = (share_BHNM @ value).transpose(1, 2).flatten(2)
        out_BNC: Tensor = self.out_proj(attended_BNC)
        return out_BNC

    def _split(self, tokens_BNC: Tensor) -> Tensor:
        """[B, N, C] to [B, heads, N, C / heads]."""
        batch, tokens, channels = tokens_BNC.shape
        return tokens_BNC.reshape(batch, tokens, self.heads, channels // self.heads).transpose(1, 2)


class Attention(nn.Module):
    """Attention to the map reduced by a strided convolution, beside a shortcut."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.attn = Projections(channels, heads)
        self.sr: nn.Module | None = None
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=EPS)

    def forward(self, tokens_BNC: Tensor, like_BChw: Tensor) -> Tensor:
        reduced_BMC = tokens_BNC
        if self.sr is not None:
            reduced_BMC = self.norm(_tokens_of(self.sr(_map_of(tokens_BNC, like_BChw))))
        out_BNC: Tensor = self.attn(tokens_BNC, reduced_BMC)
        return out_BNC


class MixedFeedForward(nn.Module):
    """1x1 to four times the channels, depthwise 3x3, GELU, 1x1 back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        first, last = nn.Conv2d(channels, wide, 1), nn.Conv2d(wide, channels, 1)
        depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        # numbered as there, with a dropout of rate 0 behind the activation
        self.layers = nn.Sequential(first, depthwise, nn.GELU(), nn.Identity(), last)

    def forward(self, tokens_BNC: Tensor, like_BChw: Tensor) -> Tensor:
        return _tokens_of(self.layers(_map_of(tokens_BNC, like_BChw)))


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=EPS)
        self.attn = Attention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=EPS)
        self.ffn = MixedFeedForward(channels)

    def forward(self, tokens_BNC: Tensor, like_BChw: Tensor) -> Tensor:
        tokens_BNC = tokens_BNC + self.attn(self.norm1(tokens_BNC), like_BChw)
        out_BNC: Tensor = tokens_BNC + self.ffn(self.norm2(tokens_BNC), like_BChw)
        return out_BNC


class Encoder(nn.Module):
    """Images to maps at strides 4, 8, 16 and 32."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        inner = 3
        for stage, (channels, count) in enumerate(zip(size.channels, size.blocks, strict=True)):
            embedding = PatchEmbedding(inner, channels, *((3, 2) if stage else (7, 4)))
            blocks = nn.ModuleList(Block(channels, HEADS[stage], REDUCTIONS[stage]) for _ in range(count))
            self.layers.append(nn.ModuleList((embedding, blocks, nn.LayerNorm(channels, eps=EPS))))
            inner = channels

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        maps, last_BChw = [], images_BCHW
        for stage in self.layers:
            embedding, blocks, norm = stage.children()
            tokens_BNC, like_BChw = embedding(last_BChw)
            for block in blocks.children():
                tokens_BNC = block(tokens_BNC, like_BChw)
            last_BChw = _map_of(norm(tokens_BNC), like_BChw)
            maps.append(last_BChw)
        return maps


class SegformerHead(nn.Module):
    """Each map by a 1x1 convolution at the finest size, side by side, and a 1x1 convolution on all."""

    def __init__(self, channels: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvModule(inner, CHANNELS) for inner in channels)
        self.fusion_conv = ConvModule(len(channels) * CHANNELS, CHANNELS)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.conv_seg = nn.Conv2d(CHANNELS, num_classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        mixed = [at_size_of(conv(map_BChw), maps[0]) for conv, map_BChw in zip(self.convs, maps, strict=True)]
        logits_BChw: Tensor = self.conv_seg(self.dropout(self.fusion_conv(torch.cat(mixed, 1))))
        return logits_BChw


class Segformer(nn.Module):
    """The network of a size."""

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        self.backbone = Encoder(size)
        self.decode_head = SegformerHead(size.channels, num_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return at_size_of(self.decode_head(self.backbone(images_BCHW)), images_BCHW)


def segformer_architecture(name: str) -> Architecture:
    """What is known of one of NAMES."""
    size = SIZES[name.rpartition("_")[2]]
    return Architecture(
        name=name,
        build=lambda num_classes: Segformer(size, num_classes),
        tap="backbone",
        head=lambda channels: SegformerHead(size.channels, channels),
    )
