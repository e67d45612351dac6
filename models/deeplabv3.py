"""DeepLabV3 on ResNet-50 (arXiv 1706.05587), of torchvision's parts and with its state keys."""

from torch import Tensor
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from hardedge.models.segmenter import Segmenter

# strides 4, 8 and 8
MAPS = {"layer1": "low", "layer3": "middle", "layer4": "high"}
MIDDLE_CHANNELS = 1024
HIGH_CHANNELS = 2048


class Head(DeepLabHead):  # type: ignore[misc]  # torchvision is untyped
    """A decode head on the backbone's maps: atrous pyramid pooling on `high`; logits at stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__(HIGH_CHANNELS, channels)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        logits_BChw: Tensor = super().forward(features["high"])
        return logits_BChw


class AuxiliaryHead(FCNHead):  # type: ignore[misc]  # torchvision is untyped
    """The auxiliary head on the backbone's `middle` map; logits at stride 8."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(MIDDLE_CHANNELS, num_classes)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        logits_BChw: Tensor = super().forward(features["middle"])
        return logits_BChw


def network(num_classes: int) -> Segmenter:
    """The network; its backbone gives the maps `low`, `middle` and `high`."""
    resnet = resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
    return Segmenter(IntermediateLayerGetter(resnet, MAPS), Head(num_classes))
