"""The networks by name."""

from collections.abc import Callable
from difflib import get_close_matches

from torch import nn

from hardedge.contracts import NetworkSpec
from hardedge.errors import BadInput
from hardedge.models.architecture import Architecture
from hardedge.models.deeplabv3 import DEEPLABV3, DEEPLABV3_RESNET50, DEEPLABV3_RESNET101
from hardedge.models.deeplabv3plus import DEEPLABV3PLUS
from hardedge.models.encoder_decoder import Family, encoder_decoder_architecture
from hardedge.models.encoders import require_encoder
from hardedge.models.fpn import FPN
from hardedge.models.hrnet_ocr import HRNETV2_W18_OCR, HRNETV2_W48_OCR
from hardedge.models.lraspp import LRASPP
from hardedge.models.mmsegmentation import MMSEG_ARCHITECTURES
from hardedge.models.pspnet import PSPNET
from hardedge.models.realtime.bisenetv2 import BISENETV2
from hardedge.models.realtime.bisenetv2_release import BISENETV2_COINCHEUNG
from hardedge.models.realtime.ddrnet import DDRNET23, DDRNET23_SLIM
from hardedge.models.realtime.efficientvit import EFFICIENTVIT_B0, EFFICIENTVIT_B1
from hardedge.models.realtime.fast_scnn import FAST_SCNN
from hardedge.models.realtime.pidnet import PIDNET_L, PIDNET_M, PIDNET_S
from hardedge.models.realtime.ppliteseg import PPLITESEG_B, PPLITESEG_T
from hardedge.models.realtime.stdc import STDC1, STDC2
from hardedge.models.segformer import SEGFORMER, SEGFORMER_SMALL
from hardedge.models.upernet import UPERNET
from hardedge.models.user_network import build_user_network

# FAMILY_ENCODER is a network, for every encoder
FAMILIES: dict[str, Family] = {
    "deeplabv3": DEEPLABV3,
    "deeplabv3plus": DEEPLABV3PLUS,
    "pspnet": PSPNET,
    "upernet": UPERNET,
    "fpn": FPN,
    "segformer": SEGFORMER,
}

# the networks that methods were published on: what is listed, and what every test runs over
ARCHITECTURES: dict[str, Architecture] = {
    known.name: known
    for known in (
        LRASPP,
        BISENETV2,
        PIDNET_S,
        PIDNET_M,
        PIDNET_L,
        STDC1,
        STDC2,
        PPLITESEG_T,
        PPLITESEG_B,
        DDRNET23_SLIM,
        DDRNET23,
        FAST_SCNN,
        EFFICIENTVIT_B0,
        EFFICIENTVIT_B1,
        encoder_decoder_architecture("deeplabv3_resnet18", DEEPLABV3, "resnet18"),
        DEEPLABV3_RESNET50,
        DEEPLABV3_RESNET101,
        encoder_decoder_architecture("deeplabv3plus_resnet18", DEEPLABV3PLUS, "resnet18"),
        encoder_decoder_architecture("deeplabv3plus_resnet50", DEEPLABV3PLUS, "resnet50"),
        encoder_decoder_architecture("deeplabv3plus_resnet101", DEEPLABV3PLUS, "resnet101"),
        encoder_decoder_architecture("pspnet_resnet18", PSPNET, "resnet18"),
        encoder_decoder_architecture("pspnet_resnet50", PSPNET, "resnet50"),
        encoder_decoder_architecture("pspnet_resnet101", PSPNET, "resnet101"),
        encoder_decoder_architecture("upernet_resnet18", UPERNET, "resnet18"),
        encoder_decoder_architecture("upernet_resnet50", UPERNET, "resnet50"),
        encoder_decoder_architecture("upernet_tu-convnext_tiny", UPERNET, "tu-convnext_tiny"),
        encoder_decoder_architecture("fpn_resnet18", FPN, "resnet18"),
        encoder_decoder_architecture("fpn_resnet50", FPN, "resnet50"),
        encoder_decoder_architecture("segformer_b0", SEGFORMER_SMALL, "mit_b0"),
        encoder_decoder_architecture("segformer_b1", SEGFORMER_SMALL, "mit_b1"),
        *(encoder_decoder_architecture(f"segformer_b{size}", SEGFORMER, f"mit_b{size}") for size in range(2, 6)),
        HRNETV2_W18_OCR,
        HRNETV2_W48_OCR,
    )
}


# as others have them, for their weights: found by name, and not listed
UNLISTED: dict[str, Callable[[], Architecture]] = {
    BISENETV2_COINCHEUNG.name: lambda: BISENETV2_COINCHEUNG,
    **MMSEG_ARCHITECTURES,
}


def architecture(name: str) -> Architecture | None:
    """The architecture of that name, listed or FAMILY_ENCODER; None for a user's own `package.module:function`.

    Raises BadInput for an unknown name, with the nearest known one.
    """
    if ":" in name:
        return None
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name in UNLISTED:
        return UNLISTED[name]()
    family, _, encoder = name.partition("_")
    if family in FAMILIES and encoder:
        require_encoder(encoder, name)
        return encoder_decoder_architecture(name, FAMILIES[family], encoder)
    near = get_close_matches(name, (*ARCHITECTURES, *UNLISTED), n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise BadInput(
        f'unknown network "{name}".{guess} Known: {", ".join(ARCHITECTURES)}; {", ".join(FAMILIES)} with any encoder '
        "(fpn_mobilenet_v2); or package.module:function of your own."
    )


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network with random weights: normalised float images_BCHW to logits_BCHW at the image's size, from 32x32 up.

    Raises BadInput for an unknown name, an encoder that does not fit, and for a user's own function that cannot be
    imported or called or whose network does not keep to this.
    """
    known = architecture(spec.name)
    return known.build(spec.num_classes) if known else build_user_network(spec.name, spec.num_classes)
