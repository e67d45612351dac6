"""Networks of segmentation-models-pytorch's parts: any of its encoders, a decoder, a segmentation head."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead

from hardedge.models.architecture import Architecture, Auxiliary
from hardedge.models.encoders import encoder_channels, has_pretrained, make_encoder, multiple_of, pretrained_weights
from hardedge.models.segmenter import at_multiple, at_size_of
from hardedge.models.user_network import require_logits


@dataclass(frozen=True)
class Family:
    """What stands on an encoder: `decoder(encoder_channels)` gives maps of `channels` channels, `kernel` is the head's.

    `output_stride` is that of the encoder's deepest map; below 32 the encoder is dilated. `auxiliary` says whether the
    published training has an auxiliary head.
    """

    decoder: Callable[[Sequence[int]], nn.Module]
    channels: int
    kernel: int = 1
    output_stride: int = 32
    auxiliary: bool = False


class EncoderDecoder(nn.Module):
    """Encoder, decoder and segmentation head; images_BCHW to logits_BCHW at the image's size."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, segmentation_head: nn.Module, multiple: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = segmentation_head
        self.multiple = multiple

    def forward(self, images_BCHW: Tensor) -> Tensor:
        maps = self.encoder(at_multiple(images_BCHW, self.multiple))
        return at_size_of(self.segmentation_head(self.decoder(maps)), images_BCHW)


class AuxiliaryHead(FCNHead):  # type: ignore[misc]  # torchvision is untyped
    """The auxiliary head on the encoder's map before the deepest; logits at its size."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__(channels[-2], num_classes)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        return (super().forward(features[-2]),)


def network(family: Family, encoder: str, num_classes: int) -> EncoderDecoder:
    """The network; its encoder gives a list of maps, the image first.

    Raises BadInput for an encoder that cannot be built with the family's stride or takes no image of 64x96.
    """
    parts = make_encoder(encoder, family.output_stride)
    decoder, segmentation_head = head(family, encoder, num_classes)
    made = EncoderDecoder(parts, decoder, segmentation_head, multiple_of(encoder))
    if multiple_of(encoder) > 1:
        require_logits(f"on encoder {encoder}", made, num_classes)
    return made


def head(family: Family, encoder: str, channels: int) -> nn.Sequential:
    """Decoder and segmentation head on the encoder's maps; logits at the decoder's stride."""
    decoder = family.decoder(encoder_channels(encoder))
    segmentation_head = SegmentationHead(family.channels, channels, kernel_size=family.kernel)
    initialize_decoder(decoder)
    initialize_head(segmentation_head)
    return nn.Sequential(OrderedDict(decoder=decoder, segmentation_head=segmentation_head))


def auxiliary_head(encoder: str, num_classes: int) -> AuxiliaryHead:
    """A fresh auxiliary head on the encoder's maps."""
    return AuxiliaryHead(encoder_channels(encoder), num_classes)


def encoder_decoder_architecture(name: str, family: Family, encoder: str) -> Architecture:
    """What is known of a family on an encoder."""
    return Architecture(
        name=name,
        build=partial(network, family, encoder),
        tap="encoder",
        head=partial(head, family, encoder),
        auxiliary=Auxiliary("encoder", partial(auxiliary_head, encoder)) if family.auxiliary else None,
        pretrained=partial(pretrained_weights, encoder) if has_pretrained(encoder) else None,
    )
