"""SYNTHIA, on which the recall loss was published."""

from dataclasses import replace

from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe


def deeplabv3plus_synthia() -> Recipe:
    """DeepLabV3+ on ResNet-18 with cross-entropy.

    Data: SYNTHIA
    Schedule: the recall loss's release
    Published: not known to us
    Ours: not measured here

    The DeepLab of the release has the decoder of V3+. It reads the summer images of SYNTHIA-SEQS-05, all resized to
    384x768; the layout that is read here is SYNTHIA-RAND-CITYSCAPES, whose images of 760x1280 are cropped to that size
    at 0.6 of their own. The release's ResNet-18 has bottleneck blocks, which only some of the pretrained tensors fit;
    ours is the usual one.

    hardedge train deeplabv3plus_synthia --data DIR --out runs/deeplabv3plus
    """
    return Recipe(
        name="deeplabv3plus_synthia",
        network="deeplabv3plus_resnet18",
        pretrained=True,
        loss=parse_loss("ce"),
        optimiser="adamw",
        learning_rate=1e-3,
        weight_decay=0.0,
        poly_power=0.0,
        steps=100_000,
        batch=6,
        crop=(384, 768),
        scale=(0.6, 0.6),
        flip=0.0,
        evaluate_every=5_000,
        workers=6,
    )


def deeplabv3plus_synthia_recall() -> Recipe:
    """DeepLabV3+ on ResNet-18 with the recall loss.

    Data: SYNTHIA
    Schedule: the recall loss's release
    Published: mean accuracy up by 9 % of cross-entropy's, mIoU competitive (the paper)
    Ours: not measured here

    hardedge train deeplabv3plus_synthia_recall --data DIR --out runs/recall
    """
    return replace(
        deeplabv3plus_synthia(), name="deeplabv3plus_synthia_recall", loss=parse_loss("recall(official=true)")
    )
