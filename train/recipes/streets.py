"""The built-in street scenes: all methods together, and each alone, in minutes on two CPU cores."""

from dataclasses import replace

from hardedge.train.branches import HardnessBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe


def streets() -> Recipe:
    """DeepLabV3+ on ResNet-18 from scratch with recall weights and the light hardness branch, for two CPU cores.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 63.1 % test mIoU (hardedge run)

    Lowest class: person, 16.5 %. Three minutes on 2 cores of a 2.5 GHz Xeon, 2026-11-21.

    hardedge train streets --data DIR --out runs/streets
    """
    return Recipe(
        name="streets",
        network="deeplabv3plus_resnet18",
        loss=parse_loss("recall + hardness"),
        branches=(HardnessBranch(kind="light"),),
        learning_rate=2e-3,
        weight_decay=1e-2,
        steps=400,
        batch=4,
        crop=(96, 160),
        scale=(1.0, 1.0),
        evaluate_every=200,
    )


def streets_ce() -> Recipe:
    """The small street training with cross-entropy alone, beside which the others stand.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 59.8 % validation mIoU, seed 0

    hardedge train streets_ce --data DIR --out runs/ce
    """
    return replace(streets(), name="streets_ce", loss=parse_loss("ce"), branches=())


def streets_hardness() -> Recipe:
    """The small street training with HL and its light branch.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 59.0 % validation mIoU, seed 0

    hardedge train streets_hardness --data DIR --out runs/hl
    """
    return replace(streets(), name="streets_hardness", loss=parse_loss("hardness"))


def streets_recall() -> Recipe:
    """The small street training with the recall loss.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 58.8 % validation mIoU, seed 0

    hardedge train streets_recall --data DIR --out runs/recall
    """
    return replace(streets(), name="streets_recall", loss=parse_loss("recall"), branches=())


def streets_pat() -> Recipe:
    """The small street training with PAT.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 53.9 % validation mIoU, seed 0

    hardedge train streets_pat --data DIR --out runs/pat
    """
    return replace(streets(), name="streets_pat", loss=parse_loss("pat"), branches=())


def streets_cpg() -> Recipe:
    """The small street training with cross-entropy and CPG.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 64.4 % validation mIoU, seed 0

    hardedge train streets_cpg --data DIR --out runs/cpg
    """
    return replace(streets(), name="streets_cpg", loss=parse_loss("ce + cpg"), branches=())


def streets_lmp() -> Recipe:
    """The small street training with loss max-pooling.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: 60.4 % validation mIoU, seed 0

    hardedge train streets_lmp --data DIR --out runs/lmp
    """
    return replace(streets(), name="streets_lmp", loss=parse_loss("lmp"), branches=())


def streets_abl() -> Recipe:
    """The small street training with cross-entropy, Lovász and ABL.

    Data: street scenes
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train streets_abl --data DIR --out runs/abl
    """
    return replace(streets(), name="streets_abl", loss=parse_loss("ce + lovasz + abl"), branches=())
