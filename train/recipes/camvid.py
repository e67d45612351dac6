"""CamVid, from scratch, for two CPU cores."""

from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe


def camvid() -> Recipe:
    """DeepLabV3+ on ResNet-18 from scratch with the light hardness branch, for two CPU cores.

    hardedge train camvid --data DIR --out runs/camvid
    """
    return Recipe(
        name="camvid",
        network="deeplabv3plus_resnet18",
        loss=parse_loss("hardness"),
        branches=(HardnessBranch(kind="light"),),
        learning_rate=1e-3,
        weight_decay=1e-2,
        steps=1000,
        batch=8,
        crop=(256, 352),
        scale=(0.5, 1.5),
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        evaluate_every=200,
    )
