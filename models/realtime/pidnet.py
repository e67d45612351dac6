"""PIDNet-S, -M and -L (arXiv 2206.02066), with the state keys of XuJiacong/PIDNet.

Three branches: P keeps detail at stride 8, I gathers context down to stride 64, D looks for boundaries and decides
where P counts more than I. Its P and D heads are for training and are not in the network: `auxiliary` and `boundary`
of the architecture say where they read.
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.realtime.pyramid_pooling import Cascade, Parallel, activated
from hardedge.models.realtime.residual import (
    AddResized,
    AuxiliaryHead,
    BasicBlock,
    PreActivatedHead,
    basic_stage,
    bottleneck_stage,
    initialise,
    projection,
    stem,
)
from hardedge.models.segmenter import at_size_of


@dataclass(frozen=True)
class Size:
    """What tells S, M and L apart: blocks of shallow and deep stages, and widths.

    The `light` ones, S and M, have a narrower D branch, parallel pooling and a light fusion.
    """

    shallow: int
    deep: int
    width: int
    pooled: int
    head: int
    light: bool


# what the release's training does not need of ImageNet's weights
FRESH = ("spp", "dfm", "pag", "diff", "compression", "layer3_d", "layer4_d", "layer5_d", "final_layer")

S = Size(2, 3, 32, 96, 128, light=True)
M = Size(2, 3, 64, 96, 128, light=True)
L = Size(3, 4, 64, 112, 256, light=False)


class PixelAttention(nn.Module):
    """PagFM: P takes I's maps where the two agree, by a sigmoid of their embeddings' product."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.f_x = projection(channels, width)
        self.f_y = projection(channels, width)

    def forward(self, fine_BChw: Tensor, coarse_BChw: Tensor) -> Tensor:
        query_BChw = at_size_of(self.f_y(coarse_BChw), fine_BChw)
        share_B1hw: Tensor = (self.f_x(fine_BChw) * query_BChw).sum(1, keepdim=True).sigmoid()
        return (1 - share_B1hw) * fine_BChw + share_B1hw * at_size_of(coarse_BChw, fine_BChw)


class LightFusion(nn.Module):
    """Light-Bag: P and I, each corrected by the other where D sees a boundary or sees none; two 1x1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_p = projection(channels, channels)
        self.conv_i = projection(channels, channels)

    def forward(self, p_BChw: Tensor, i_BChw: Tensor, d_BChw: Tensor) -> Tensor:
        edge_BChw = d_BChw.sigmoid()
        fused_BChw: Tensor = self.conv_p((1 - edge_BChw) * i_BChw + p_BChw) + self.conv_i(i_BChw + edge_BChw * p_BChw)
        return fused_BChw


class Fusion(nn.Module):
    """Bag: P where D sees a boundary, else I; a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = activated(channels, channels, kernel=3)

    def forward(self, p_BChw: Tensor, i_BChw: Tensor, d_BChw: Tensor) -> Tensor:
        edge_BChw = d_BChw.sigmoid()
        fused_BChw: Tensor = self.conv(edge_BChw * p_BChw + (1 - edge_BChw) * i_BChw)
        return fused_BChw


class PidNet(nn.Module):
    """The network of a size.

    `dfm` gives the map that the decode head reads, `pag3` and `sum4` what the training's P and D heads do; all at
    stride 8.
    """

    def __init__(self, size: Size, num_classes: int) -> None:
        super().__init__()
        width = size.width
        self.conv1 = stem(width)
        self.layer1 = basic_stage(width, width, size.shallow)
        self.layer2 = basic_stage(width, 2 * width, size.shallow, stride=2)
        self.layer3 = basic_stage(2 * width, 4 * width, size.deep, stride=2)
        self.layer4 = basic_stage(4 * width, 8 * width, size.deep, stride=2)
        self.layer5 = bottleneck_stage(8 * width, 8 * width, 2, stride=2)
        self.compression3 = projection(4 * width, 2 * width)
        self.compression4 = projection(8 * width, 2 * width)
        self.pag3 = PixelAttention(2 * width, width)
        self.pag4 = PixelAttention(2 * width, width)
        self.layer3_ = basic_stage(2 * width, 2 * width, size.shallow)
        self.layer4_ = basic_stage(2 * width, 2 * width, size.shallow)
        self.layer5_ = bottleneck_stage(2 * width, 2 * width, 1)
        narrow = width if size.light else 2 * width
        self.layer3_d = BasicBlock(2 * width, narrow, relu=False)
        self.layer4_d = (
            bottleneck_stage(width, width, 1) if size.light else BasicBlock(2 * width, 2 * width, relu=False)
        )
        self.layer5_d = bottleneck_stage(2 * width, 2 * width, 1)
        self.diff3 = projection(4 * width, narrow, kernel=3)
        self.diff4 = projection(8 * width, 2 * width, kernel=3)
        self.sum3, self.sum4 = AddResized(), AddResized()
        self.spp = (Parallel if size.light else Cascade)(16 * width, size.pooled, 4 * width)
        self.dfm = (LightFusion if size.light else Fusion)(4 * width)
        self.final_layer = head(size, num_classes)
        initialise(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        shared_BChw = F.relu(self.layer2(F.relu(self.layer1(self.conv1(images_BCHW)))))
        p_BChw, d_BChw = self.layer3_(shared_BChw), self.layer3_d(shared_BChw)
        i_BChw = F.relu(self.layer3(shared_BChw))
        p_BChw = self.pag3(p_BChw, self.compression3(i_BChw))
        d_BChw = self.sum3(d_BChw, self.diff3(i_BChw))

        i_BChw = F.relu(self.layer4(i_BChw))
        p_BChw = self.pag4(self.layer4_(F.relu(p_BChw)), self.compression4(i_BChw))
        d_BChw = self.sum4(self.layer4_d(F.relu(d_BChw)), self.diff4(i_BChw))

        p_BChw, d_BChw = self.layer5_(F.relu(p_BChw)), self.layer5_d(F.relu(d_BChw))
        i_BChw = at_size_of(self.spp(self.layer5(i_BChw)), p_BChw)
        return at_size_of(self.final_layer(self.dfm(p_BChw, i_BChw, d_BChw)), images_BCHW)


def head(size: Size, channels: int) -> PreActivatedHead:
    """A decode head on the map of `dfm`; logits at stride 8."""
    return PreActivatedHead(4 * size.width, size.head, channels)


def _pidnet(name: str, size: Size) -> Architecture:
    return Architecture(
        name=name,
        build=partial(PidNet, size),
        tap="dfm",
        head=partial(head, size),
        auxiliary=Auxiliary("pag3", partial(AuxiliaryHead, 2 * size.width, size.head)),
        boundary=Auxiliary("sum4", partial(PreActivatedHead, 2 * size.width, size.width)),
        backbone="",
        fresh=FRESH,
    )


PIDNET_S = _pidnet("pidnet_s", S)
PIDNET_M = _pidnet("pidnet_m", M)
PIDNET_L = _pidnet("pidnet_l", L)
