"""LRASPP on MobileNetV3-Large (arXiv 1905.02244), of torchvision's parts and with its state keys."""

from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.models.segmentation.lraspp import LRASPPHead

from hardedge.models.architecture import Architecture
from hardedge.models.segmenter import EncoderDecoderSegmenter

LOW_CHANNELS = 40  # stride 8
HIGH_CHANNELS = 960  # stride 16
INNER_CHANNELS = 128


def network(num_classes: int) -> EncoderDecoderSegmenter:
    """The network; its backbone gives the maps `low` and `high`."""
    parts = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
    return EncoderDecoderSegmenter(parts.backbone, parts.classifier)


def head(channels: int) -> nn.Module:
    """A decode head on the backbone's maps; logits at stride 8."""
    fresh: nn.Module = LRASPPHead(LOW_CHANNELS, HIGH_CHANNELS, channels, INNER_CHANNELS)
    return fresh


def pretrained_weights() -> dict[str, Tensor]:
    """torchvision's MobileNetV3-Large weights of ImageNet, downloaded."""
    weights: dict[str, Tensor] = MobileNet_V3_Large_Weights.IMAGENET1K_V1.get_state_dict(weights_only=True)
    return weights


LRASPP = Architecture(
    name="lraspp_mobilenet_v3_large", build=network, tap="backbone", head=head, pretrained=pretrained_weights
)
