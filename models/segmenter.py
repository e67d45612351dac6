"""The one shape of forward: features, head, bilinear upsampling to the image's size."""

from torch import Tensor, nn
from torch.nn import functional as F


class EncoderDecoderSegmenter(nn.Module):
    """A backbone and a classifier; images_BCHW to logits_BCHW at the image's size.

    A backbone that takes multiples of some size only gets the image resized to the next `multiple`.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, multiple: int = 1) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.multiple = multiple

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BChw = self.classifier(self.backbone(at_multiple(images_BCHW, self.multiple)))
        return at_size_of(logits_BChw, images_BCHW)


def at_size_of(maps_BChw: Tensor, other_BCHW: Tensor, *, align_corners: bool = False) -> Tensor:
    """The maps resized, bilinear, to the height and width of the other tensor."""
    return F.interpolate(maps_BChw, size=other_BCHW.shape[-2:], mode="bilinear", align_corners=align_corners)


def at_multiple(images_BCHW: Tensor, multiple: int) -> Tensor:
    """The images resized, bilinear, to the next multiples of a size; as they are where they have one."""
    if multiple == 1:
        return images_BCHW
    # resized, not padded: TensorRT-RTX builds a resize to computed sizes, and a border would be seen as scenery
    height, width = ((length + multiple - 1) // multiple * multiple for length in images_BCHW.shape[-2:])
    return F.interpolate(images_BCHW, size=(height, width), mode="bilinear", align_corners=False)
