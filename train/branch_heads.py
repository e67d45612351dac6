"""The heads that stand beside a network while it is trained."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from hardedge.models.realtime.residual import PreActivatedHead


class LightHead(nn.Module):
    """Hardness from features by 1x1 convolutions: the finest map from stride 4 on, and the deepest.

    `maps` are the keys of the maps in the features (None: the features are the map), `channels` theirs. Convolves each
    before it resizes, so that the work is that of a few channels.
    """

    def __init__(self, maps: Sequence[int | str | None], channels: Sequence[int], hidden: int = 32) -> None:
        super().__init__()
        self.maps = tuple(maps)
        self.reduce = nn.ModuleList(nn.Conv2d(count, hidden, 1, bias=False) for count in channels)
        self.norm = nn.BatchNorm2d(hidden)
        self.answer = nn.Conv2d(hidden, 1, 1)

    def forward(self, features: Any) -> Tensor:
        maps = [features if key is None else features[key] for key in self.maps]
        reduced = [convolution(map_BChw) for convolution, map_BChw in zip(self.reduce, maps, strict=True)]
        mixed_BChw = reduced[0]
        for coarse_BChw in reduced[1:]:
            size = mixed_BChw.shape[-2:]
            mixed_BChw = mixed_BChw + F.interpolate(coarse_BChw, size=size, mode="bilinear", align_corners=False)
        hardness_B1hw: Tensor = self.answer(F.relu(self.norm(mixed_BChw)))
        return hardness_B1hw


class OneMap(nn.Module):
    """One of the maps in the features, as it is; `key` None: the features are the map."""

    def __init__(self, key: int | str | None) -> None:
        super().__init__()
        self.key = key

    def forward(self, features: Any) -> Tensor:
        map_BChw: Tensor = features if self.key is None else features[self.key]
        return map_BChw


class SideHead(PreActivatedHead):
    """A head of one channel on one of the maps in the features: BatchNorm, ReLU, 3x3, BatchNorm, ReLU, 1x1."""

    def __init__(self, key: int | str | None, channels: int, hidden: int = 64) -> None:
        super().__init__(channels, hidden, 1)
        self.one = OneMap(key)

    def forward(self, features: Any) -> Tensor:
        return super().forward(self.one(features))
