"""DDRNet-23 and its slim form (arXiv 2101.06085), with the state keys of ydhongHIT/DDRNet.

Two branches, at stride 8 and at strides 16 to 64, that meet twice; DAPPM on the deep one.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.realtime.pyramid_pooling import Cascade
from hardedge.models.realtime.residual import (
    AddResized,
    AuxiliaryHead,
    PreActivatedHead,
    basic_stage,
    bottleneck_stage,
    initialise,
    projection,
    stem,
)
from hardedge.models.segmenter import at_size_of

BLOCKS = 2
POOLED = 128


class DdrNet(nn.Module):
    """The network of a width; `head_width` is the decode head's.

    `sum3` gives the fine branch's map after the first meeting, which the training's auxiliary head reads, and `sum5`
    the map that the decode head reads; both at stride 8.
    """

    def __init__(self, width: int, head_width: int, num_classes: int) -> None:
        super().__init__()
        fine = 2 * width
        self.conv1 = stem(width)
        self.layer1 = basic_stage(width, width, BLOCKS)
        self.layer2 = basic_stage(width, 2 * width, BLOCKS, stride=2)
        self.layer3 = basic_stage(2 * width, 4 * width, BLOCKS, stride=2)
        self.layer4 = basic_stage(4 * width, 8 * width, BLOCKS, stride=2)
        self.layer5 = bottleneck_stage(8 * width, 8 * width, 1, stride=2)
        self.compression3 = projection(4 * width, fine)
        self.compression4 = projection(8 * width, fine)
        self.down3 = projection(fine, 4 * width, kernel=3, stride=2)
        self.down4 = nn.Sequential(
            *projection(fine, 4 * width, kernel=3, stride=2),
            nn.ReLU(),
            *projection(4 * width, 8 * width, kernel=3, stride=2),
        )
        self.layer3_ = basic_stage(2 * width, fine, BLOCKS)
        self.layer4_ = basic_stage(fine, fine, BLOCKS)
        self.layer5_ = bottleneck_stage(fine, fine, 1)
        self.sum3, self.sum4, self.sum5 = AddResized(), AddResized(), AddResized()
        self.spp = Cascade(16 * width, POOLED, 4 * width)
        self.final_layer = head(width, head_width, num_classes)
        initialise(self)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        shared_BChw = F.relu(self.layer2(F.relu(self.layer1(self.conv1(images_BCHW)))))
        deep_BChw, fine_BChw = self.layer3(shared_BChw), self.layer3_(shared_BChw)
        compressed_BChw = self.compression3(F.relu(deep_BChw))
        deep_BChw = deep_BChw + self.down3(F.relu(fine_BChw))
        fine_BChw = self.sum3(fine_BChw, compressed_BChw)

        deep_BChw, fine_BChw = self.layer4(F.relu(deep_BChw)), self.layer4_(F.relu(fine_BChw))
        compressed_BChw = self.compression4(F.relu(deep_BChw))
        deep_BChw = deep_BChw + self.down4(F.relu(fine_BChw))
        fine_BChw = self.sum4(fine_BChw, compressed_BChw)

        pooled_BChw = self.spp(self.layer5(F.relu(deep_BChw)))
        mixed_BChw = self.sum5(self.layer5_(F.relu(fine_BChw)), pooled_BChw)
        return at_size_of(self.final_layer(mixed_BChw), images_BCHW)


def head(width: int, head_width: int, channels: int) -> PreActivatedHead:
    """A decode head on the map of `sum5`; logits at stride 8."""
    return PreActivatedHead(4 * width, head_width, channels)


def _ddrnet(name: str, width: int, head_width: int) -> Architecture:
    return Architecture(
        name=name,
        build=partial(DdrNet, width, head_width),
        tap="sum5",
        head=partial(head, width, head_width),
        auxiliary=Auxiliary("sum3", partial(AuxiliaryHead, 2 * width, head_width)),
        backbone="",
        fresh=("spp", "final_layer"),
    )


DDRNET23_SLIM = _ddrnet("ddrnet23_slim", 32, 64)
DDRNET23 = _ddrnet("ddrnet23", 64, 128)
