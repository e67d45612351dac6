"""Cityscapes: the networks for small devices that HL was published with, and CPG on one of them."""

from dataclasses import replace

from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.recipes.cityscapes import FAITHFUL, HARDNESS, pspnet_cityscapes


def lraspp_cityscapes() -> Recipe:
    """LRASPP on MobileNetV3-Large with cross-entropy.

    Data: Cityscapes
    Schedule: HL's release
    Published: 70.18 % mIoU (HL's release)
    Ours: not measured here

    hardedge train lraspp_cityscapes --data DIR --out runs/lraspp
    """
    return replace(
        pspnet_cityscapes(),
        name="lraspp_cityscapes",
        network="lraspp_mobilenet_v3_large",
        auxiliary=False,
        steps=320_000,
        batch=16,
        crop=(512, 1024),
        evaluate_every=16_000,
    )


def lraspp_cityscapes_hardness() -> Recipe:
    """LRASPP on MobileNetV3-Large with HL and its branch as published.

    Data: Cityscapes
    Schedule: HL's release
    Published: 71.80 % mIoU (cross-entropy 70.18; HL's release)
    Ours: not measured here

    hardedge train lraspp_cityscapes_hardness --data DIR --out runs/hl
    """
    return replace(lraspp_cityscapes(), name="lraspp_cityscapes_hardness", loss=HARDNESS, branches=FAITHFUL)


def lraspp_cityscapes_cpg() -> Recipe:
    """LRASPP on MobileNetV3-Large with cross-entropy and CPG.

    Data: Cityscapes
    Schedule: our reading: HL's release
    Published: a gain in mIoU, its size not known to us
    Ours: not measured here

    hardedge train lraspp_cityscapes_cpg --data DIR --out runs/cpg
    """
    return replace(lraspp_cityscapes(), name="lraspp_cityscapes_cpg", loss=parse_loss("ce + cpg"))


def bisenetv2_cityscapes() -> Recipe:
    """BiSeNetV2 from scratch with cross-entropy.

    Data: Cityscapes
    Schedule: HL's release
    Published: 72.92 % mIoU (HL's release)
    Ours: not measured here

    hardedge train bisenetv2_cityscapes --data DIR --out runs/bisenetv2
    """
    return replace(
        pspnet_cityscapes(),
        name="bisenetv2_cityscapes",
        network="bisenetv2",
        pretrained=False,
        auxiliary_weight=1.0,
        learning_rate=0.05,
        warm_up=1_000,
        steps=160_000,
        batch=16,
        crop=(1024, 1024),
        evaluate_every=16_000,
    )


def bisenetv2_cityscapes_hardness() -> Recipe:
    """BiSeNetV2 from scratch with HL and its branch as published.

    Data: Cityscapes
    Schedule: HL's release
    Published: 75.27 % mIoU (cross-entropy 72.92; HL's release)
    Ours: not measured here

    hardedge train bisenetv2_cityscapes_hardness --data DIR --out runs/hl
    """
    return replace(bisenetv2_cityscapes(), name="bisenetv2_cityscapes_hardness", loss=HARDNESS, branches=FAITHFUL)
