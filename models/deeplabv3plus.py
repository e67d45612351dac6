"""DeepLabV3+ on ResNet-18 (arXiv 1802.02611), of segmentation-models-pytorch's parts and with its state keys."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

ENCODER = "resnet18"
DEPTH = 5
STRIDE = 16
ENCODER_CHANNELS = (3, 64, 64, 128, 256, 512)
DECODER_CHANNELS = 256
ATROUS_RATES = (12, 24, 36)


class DeepLabV3Plus(nn.Module):
    """Encoder, decoder and segmentation head; the image is padded right and below to the stride, the logits cropped."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, segmentation_head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = segmentation_head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        height, width = images_BCHW.shape[-2:]
        padded_BCHW = F.pad(images_BCHW, (0, -width % STRIDE, 0, -height % STRIDE))
        logits_BChw = self.segmentation_head(self.decoder(self.encoder(padded_BCHW)))
        logits_BCHW = F.interpolate(logits_BChw, size=padded_BCHW.shape[-2:], mode="bilinear", align_corners=False)
        return logits_BCHW[..., :height, :width]


def network(num_classes: int) -> DeepLabV3Plus:
    """The network; its encoder gives a list of maps, the image first."""
    from segmentation_models_pytorch.encoders import get_encoder  # takes two seconds: only for who needs it

    encoder = get_encoder(ENCODER, in_channels=3, depth=DEPTH, weights=None, output_stride=STRIDE)
    decoder, segmentation_head = head(num_classes)
    return DeepLabV3Plus(encoder, decoder, segmentation_head)


def head(channels: int) -> nn.Sequential:
    """Decoder and segmentation head on the encoder's maps; logits at stride 4 of the padded image."""
    from segmentation_models_pytorch.base import SegmentationHead
    from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

    decoder = DeepLabV3PlusDecoder(
        encoder_channels=ENCODER_CHANNELS,
        encoder_depth=DEPTH,
        out_channels=DECODER_CHANNELS,
        atrous_rates=ATROUS_RATES,
        output_stride=STRIDE,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    segmentation_head = SegmentationHead(DECODER_CHANNELS, channels, kernel_size=1)
    initialize_decoder(decoder)
    initialize_head(segmentation_head)
    return nn.Sequential(OrderedDict(decoder=decoder, segmentation_head=segmentation_head))
