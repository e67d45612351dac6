"""The one shape of forward: features, head, bilinear upsampling to the image's size."""

from torch import Tensor, nn
from torch.nn import functional as F


class Segmenter(nn.Module):
    """A backbone and a classifier; images_BCHW to logits_BCHW at the image's size."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BChw = self.classifier(self.backbone(images_BCHW))
        return F.interpolate(logits_BChw, size=images_BCHW.shape[-2:], mode="bilinear", align_corners=False)
