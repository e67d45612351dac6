"""NYU Depth v2, one of the data sets that PAT was published on."""

from dataclasses import replace

from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe


def deeplabv3plus_nyuv2() -> Recipe:
    """DeepLabV3+ on ResNet-50 with cross-entropy.

    Data: NYU Depth v2
    Schedule: our reading of PAT's release
    Published: not known to us for this network
    Ours: not measured here

    The release trains U-Nets and SegNet, which do not ship, with Adam at 0.001 for 100 epochs, a rate that falls as a
    cosine, and no augmentation, on 13 classes. The batch is its option's default (12 steps an epoch); images at 0.6 of
    their 480x640 are our choice.

    hardedge train deeplabv3plus_nyuv2 --data DIR --out runs/deeplabv3plus
    """
    return Recipe(
        name="deeplabv3plus_nyuv2",
        network="deeplabv3plus_resnet50",
        pretrained=True,
        loss=parse_loss("ce"),
        optimiser="adamw",
        learning_rate=1e-3,
        weight_decay=0.0,
        steps=1_200,
        batch=64,
        crop=(288, 384),
        scale=(0.6, 0.6),
        flip=0.0,
        evaluate_every=120,
        workers=8,
    )


def deeplabv3plus_nyuv2_pat() -> Recipe:
    """DeepLabV3+ on ResNet-50 with PAT.

    Data: NYU Depth v2
    Schedule: our reading of PAT's release
    Published: 2.2 % above the best known until then (the paper, on networks of its own)
    Ours: not measured here

    hardedge train deeplabv3plus_nyuv2_pat --data DIR --out runs/pat
    """
    return replace(deeplabv3plus_nyuv2(), name="deeplabv3plus_nyuv2_pat", loss=parse_loss("pat"))
