"""DeepLabV3 (arXiv 1706.05587), with its libraries' state keys.

On ResNet-50 and -101 of torchvision's parts, on other encoders of segmentation-models-pytorch's.
"""

from collections.abc import Sequence
from functools import partial

from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3Decoder
from torch import Tensor
from torchvision.models import ResNet50_Weights, ResNet101_Weights, WeightsEnum, get_model
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.encoder_decoder import Family
from hardedge.models.segmenter import EncoderDecoderSegmenter

# strides 4, 8 and 8
MAPS = {"layer1": "low", "layer3": "middle", "layer4": "high"}
MIDDLE_CHANNELS = 1024
HIGH_CHANNELS = 2048

CHANNELS = 256
ATROUS_RATES = (12, 24, 36)


class DeepLabV3Head(DeepLabHead):  # type: ignore[misc]  # torchvision is untyped
    """A decode head on the backbone's maps: atrous pyramid pooling on `high`; logits at stride 8."""

    def __init__(self, channels: int) -> None:
        super().__init__(HIGH_CHANNELS, channels)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        logits_BChw: Tensor = super().forward(features["high"])
        return logits_BChw


class DeepLabV3AuxiliaryHead(FCNHead):  # type: ignore[misc]  # torchvision is untyped
    """The auxiliary head on the backbone's `middle` map; logits at stride 8."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(MIDDLE_CHANNELS, num_classes)

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor]:
        return (super().forward(features["middle"]),)


def network(resnet: str, num_classes: int) -> EncoderDecoderSegmenter:
    """The network on torchvision's resnet50 or resnet101; its backbone gives the maps `low`, `middle` and `high`."""
    backbone = get_model(resnet, weights=None, replace_stride_with_dilation=[False, True, True])
    return EncoderDecoderSegmenter(IntermediateLayerGetter(backbone, MAPS), DeepLabV3Head(num_classes))


def pretrained_weights(weights: WeightsEnum) -> dict[str, Tensor]:
    """torchvision's ResNet weights of ImageNet, downloaded."""
    tensors: dict[str, Tensor] = weights.get_state_dict(weights_only=True)
    return tensors


def _on_resnet(resnet: str, weights: WeightsEnum) -> Architecture:
    return Architecture(
        name=f"deeplabv3_{resnet}",
        build=partial(network, resnet),
        tap="backbone",
        head=DeepLabV3Head,
        auxiliary=Auxiliary("backbone", DeepLabV3AuxiliaryHead),
        pretrained=partial(pretrained_weights, weights),
    )


# the first weights: those that the published trainings start from
DEEPLABV3_RESNET50 = _on_resnet("resnet50", ResNet50_Weights.IMAGENET1K_V1)
DEEPLABV3_RESNET101 = _on_resnet("resnet101", ResNet101_Weights.IMAGENET1K_V1)


class DeepLabV3AnySizeDecoder(DeepLabV3Decoder):  # type: ignore[misc]  # the library is untyped
    """The library's decoder: atrous pyramid pooling on the encoder's deepest map."""

    def __init__(self, encoder_channels: Sequence[int]) -> None:
        super().__init__(
            in_channels=encoder_channels[-1],
            out_channels=CHANNELS,
            atrous_rates=ATROUS_RATES,
            aspp_separable=False,
            aspp_dropout=0.5,
        )


DEEPLABV3 = Family(DeepLabV3AnySizeDecoder, CHANNELS, output_stride=8, auxiliary=True)
