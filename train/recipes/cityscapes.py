"""Cityscapes: the networks and schedules that HL was published with, and other methods on these.

The schedules are read in the training logs of HL's authors (the release, arXiv 2305.08462). docs/recipes.md says where
ours differ from them.
"""

from dataclasses import replace

from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe

HARDNESS = parse_loss("hardness(official=true)")
FAITHFUL = (HardnessBranch(kind="faithful"),)


def pspnet_cityscapes() -> Recipe:
    """PSPNet on ResNet-50 with cross-entropy.

    Data: Cityscapes
    Schedule: HL's release
    Published: 78.68 % mIoU (HL's release)
    Ours: not measured here

    hardedge train pspnet_cityscapes --data DIR --out runs/pspnet
    """
    return Recipe(
        name="pspnet_cityscapes",
        network="pspnet_resnet50",
        pretrained=True,
        loss=parse_loss("ce"),
        auxiliary=True,
        optimiser="sgd",
        learning_rate=0.01,
        weight_decay=5e-4,
        final_rate=1e-4,
        steps=40_000,
        batch=8,
        crop=(769, 769),
        crop_share=0.75,
        brightness=0.125,
        contrast=0.5,
        saturation=0.5,
        hue=0.1,
        jitter=0.5,
        evaluate_every=4_000,
        keep="last",
        workers=8,
    )


def pspnet_cityscapes_hardness() -> Recipe:
    """PSPNet on ResNet-50 with HL and its branch as published.

    Data: Cityscapes
    Schedule: HL's release
    Published: 79.58 % mIoU (cross-entropy 78.68; HL's release)
    Ours: not measured here

    hardedge train pspnet_cityscapes_hardness --data DIR --out runs/hl
    """
    return replace(pspnet_cityscapes(), name="pspnet_cityscapes_hardness", loss=HARDNESS, branches=FAITHFUL)


def deeplabv3_cityscapes() -> Recipe:
    """DeepLabV3 on ResNet-101 with cross-entropy.

    Data: Cityscapes
    Schedule: HL's release
    Published: 79.29 % mIoU (HL's release)
    Ours: not measured here

    hardedge train deeplabv3_cityscapes --data DIR --out runs/deeplabv3
    """
    return replace(pspnet_cityscapes(), name="deeplabv3_cityscapes", network="deeplabv3_resnet101")


def deeplabv3_cityscapes_hardness() -> Recipe:
    """DeepLabV3 on ResNet-101 with HL and its branch as published.

    Data: Cityscapes
    Schedule: HL's release
    Published: 80.92 % mIoU (cross-entropy 79.29; HL's release)
    Ours: not measured here

    hardedge train deeplabv3_cityscapes_hardness --data DIR --out runs/hl
    """
    return replace(deeplabv3_cityscapes(), name="deeplabv3_cityscapes_hardness", loss=HARDNESS, branches=FAITHFUL)


def deeplabv3_cityscapes_lmp() -> Recipe:
    """DeepLabV3 on ResNet-101 with loss max-pooling.

    Data: Cityscapes
    Schedule: our reading: HL's release
    Published: not known to us for this network
    Ours: not measured here

    Which network and schedule the paper has is not known to us either.

    hardedge train deeplabv3_cityscapes_lmp --data DIR --out runs/lmp
    """
    return replace(deeplabv3_cityscapes(), name="deeplabv3_cityscapes_lmp", loss=parse_loss("lmp"))


def deeplabv3_cityscapes_cpg() -> Recipe:
    """DeepLabV3 on ResNet-50 with cross-entropy and CPG.

    Data: Cityscapes
    Schedule: our reading: HL's release
    Published: a gain in mIoU, its size not known to us
    Ours: not measured here

    hardedge train deeplabv3_cityscapes_cpg --data DIR --out runs/cpg
    """
    return replace(
        deeplabv3_cityscapes(),
        name="deeplabv3_cityscapes_cpg",
        network="deeplabv3_resnet50",
        loss=parse_loss("ce + cpg"),
    )


def ocr_cityscapes() -> Recipe:
    """HRNetV2-W48 with OCR and cross-entropy.

    Data: Cityscapes
    Schedule: HL's release
    Published: 80.48 % mIoU (HL's release)
    Ours: not measured here

    hardedge train ocr_cityscapes --data DIR --out runs/ocr
    """
    return replace(pspnet_cityscapes(), name="ocr_cityscapes", network="hrnetv2_w48_ocr", crop=(512, 1024))


def ocr_cityscapes_hardness() -> Recipe:
    """HRNetV2-W48 with OCR, HL and its branch as published.

    Data: Cityscapes
    Schedule: HL's release
    Published: 82.17 % mIoU (cross-entropy 80.48; HL's release)
    Ours: not measured here

    The release weights the soft regions' cross-entropy too; here it is plain.

    hardedge train ocr_cityscapes_hardness --data DIR --out runs/hl
    """
    return replace(ocr_cityscapes(), name="ocr_cityscapes_hardness", loss=HARDNESS, branches=FAITHFUL)


def ocr_cityscapes_cpg() -> Recipe:
    """HRNetV2-W48 with OCR, cross-entropy and CPG.

    Data: Cityscapes
    Schedule: our reading: HL's release
    Published: a gain in mIoU, its size not known to us
    Ours: not measured here

    The paper names HRNetV2-OCR; its width is not known to us.

    hardedge train ocr_cityscapes_cpg --data DIR --out runs/cpg
    """
    return replace(ocr_cityscapes(), name="ocr_cityscapes_cpg", loss=parse_loss("ce + cpg"))


def ocr_cityscapes_abl() -> Recipe:
    """HRNetV2-W48 with OCR, cross-entropy, Lovász and ABL.

    Data: Cityscapes
    Schedule: our reading: HRNet-OCR's own release, 484 epochs of 247 steps
    Published: 82.9 % mIoU (cross-entropy 82.2; the paper)
    Ours: not measured here

    The paper's weight of ABL is not known to us: 1.

    hardedge train ocr_cityscapes_abl --data DIR --out runs/abl
    """
    return replace(
        ocr_cityscapes(),
        name="ocr_cityscapes_abl",
        loss=parse_loss("ce + lovasz + abl(official=true)"),
        final_rate=0.0,
        steps=484 * 247,
        batch=12,
        crop_share=1.0,
        jitter=0.0,
    )
