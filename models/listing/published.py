"""What others published of the listed networks: accuracy on Cityscapes, its source, and their weights' licence."""

from dataclasses import dataclass

NOT_KNOWN = "not known"
# whose code is under that licence, and who trained on Cityscapes, whose images are for research
MIT = "MIT, as the code; trained on Cityscapes, whose terms are for research"
APACHE = "Apache-2.0, as the code; trained on Cityscapes, whose terms are for research"


@dataclass(frozen=True)
class Published:
    """An mIoU on Cityscapes' validation images, in percent, at 1024x2048 unless `source` says otherwise.

    `licence` is that of the published weights, as far as it is known.
    """

    miou: float
    source: str
    licence: str


def _of_hardness_release(miou: float) -> Published:
    return Published(miou, "HL's release, cross-entropy", NOT_KNOWN)


PUBLISHED = {
    "lraspp_mobilenet_v3_large": _of_hardness_release(70.18),
    "bisenetv2": _of_hardness_release(72.92),
    "pidnet_s": Published(78.8, "XuJiacong/PIDNet", MIT),
    "pidnet_m": Published(79.9, "XuJiacong/PIDNet", MIT),
    "pidnet_l": Published(80.9, "XuJiacong/PIDNet", MIT),
    "stdc1": Published(74.50, "MichaelFan01/STDC-Seg, at 768x1536", MIT),
    "stdc2": Published(77.04, "MichaelFan01/STDC-Seg, at 768x1536", MIT),
    "ppliteseg_t": Published(77.56, "Deci-AI/super-gradients, at 768x1536", "not said; the code is Apache-2.0"),
    "ppliteseg_b": Published(78.52, "Deci-AI/super-gradients, at 768x1536", "not said; the code is Apache-2.0"),
    "ddrnet23_slim": Published(77.8, "ydhongHIT/DDRNet", MIT),
    "ddrnet23": Published(79.5, "ydhongHIT/DDRNet", MIT),
    "fast_scnn": Published(54.84, "Tramac/Fast-SCNN-pytorch, on crops of 768", APACHE),
    "deeplabv3_resnet101": _of_hardness_release(79.29),
    "deeplabv3plus_resnet101": _of_hardness_release(79.75),
    "pspnet_resnet18": _of_hardness_release(74.30),
    "pspnet_resnet50": _of_hardness_release(78.68),
    "pspnet_resnet101": _of_hardness_release(79.60),
    "hrnetv2_w48_ocr": _of_hardness_release(80.48),
}
