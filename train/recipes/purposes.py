"""Recipes by purpose, for a data set of one's own."""

from dataclasses import replace

from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.recipes.camvid import camvid
from hardedge.train.recipes.realtime import pidnet_s_camvid


def quick() -> Recipe:
    """LRASPP on MobileNetV3 with cross-entropy: a first result on a CPU.

    Data: any
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train quick --data DIR --out runs/quick
    """
    return replace(
        camvid(),
        name="quick",
        network="lraspp_mobilenet_v3_large",
        loss=parse_loss("ce"),
        branches=(),
        steps=600,
        evaluate_every=200,
    )


def accurate() -> Recipe:
    """DeepLabV3+ on ResNet-50 with recall, Lovász and the light hardness branch, on large crops, for a GPU.

    Data: any
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train accurate --data DIR --out runs/accurate --pretrained
    """
    return replace(
        camvid(),
        name="accurate",
        network="deeplabv3plus_resnet50",
        loss=parse_loss("recall + lovasz + hardness"),
        learning_rate=3e-4,
        steps=20_000,
        warm_up=500,
        batch=8,
        crop=(512, 512),
        scale=(0.5, 2.0),
        evaluate_every=1_000,
        workers=4,
    )


def realtime() -> Recipe:
    """PIDNet-S with OHEM and its boundary head, for engines on edge GPUs.

    Data: any
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train realtime --data DIR --out runs/realtime --backbone-weights FILE
    """
    return replace(
        pidnet_s_camvid(),
        name="realtime",
        steps=20_000,
        warm_up=500,
        batch=8,
        crop=(512, 512),
        evaluate_every=1_000,
        workers=4,
    )
