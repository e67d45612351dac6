"""The network of the acceptance bundle: small, with the operators that segmentation networks are made of."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def block(channels: int, out: int, stride: int) -> nn.Sequential:
    """A depthwise and a pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class AcceptanceNetwork(nn.Module):
    """An encoder of three scales, the whole image's mean as a gate, and a decoder that joins two scales."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.high = nn.Sequential(block(16, 24, 2), block(24, 24, 1))
        self.low = nn.Sequential(block(24, 48, 2), block(48, 48, 1), block(48, 48, 1))
        self.gate = nn.Conv2d(48, 48, 1)
        self.join = nn.Sequential(nn.Conv2d(72, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.classifier = nn.Conv2d(32, num_classes, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        high = self.high(self.stem(images_BCHW))
        low = self.low(high)
        low = low * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(low, 1)))
        low = F.interpolate(low, size=high.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.classifier(self.join(torch.cat([high, low], 1)))
        return F.interpolate(logits, size=images_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def build(num_classes: int) -> nn.Module:
    return AcceptanceNetwork(num_classes)
