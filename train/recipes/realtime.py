"""The real-time networks: their published schedules on Cityscapes, and a small training of each on CamVid.

Schedules are read in the released code, or in the paper where that has none. Where it keeps a number of hard pixels,
here it is the share of them in its batch.
"""

from dataclasses import replace

from hardedge.train.branches import BoundaryBranch, DetailBranch
from hardedge.train.losses import parse_loss
from hardedge.train.recipe import Recipe
from hardedge.train.recipes.camvid import camvid

# 131,072 pixels of six crops of 1024x1024, as each of the release's processes has them
PIDNET_LOSS = parse_loss("ohem(threshold=0.9, min_kept=0.0208) + 20*boundary + boundary_ohem(min_kept=0.0208)")
STDC_LOSS = parse_loss("ohem + detail")
OHEM = parse_loss("ohem")


def pidnet_s_cityscapes() -> Recipe:
    """PIDNet-S with its P head, its boundary loss, and OHEM on the boundaries that its D head finds.

    Data: Cityscapes
    Schedule: the release
    Published: 78.8 % mIoU, from ImageNet weights (XuJiacong/PIDNet)
    Ours: not measured here

    hardedge train pidnet_s_cityscapes --data DIR --out runs/pidnet --backbone-weights FILE
    """
    return Recipe(
        name="pidnet_s_cityscapes",
        network="pidnet_s",
        loss=PIDNET_LOSS,
        branches=(BoundaryBranch(),),
        auxiliary=True,
        optimiser="sgd",
        learning_rate=0.01,
        weight_decay=5e-4,
        steps=120_000,
        batch=12,
        crop=(1024, 1024),
        scale=(0.5, 2.1),
        evaluate_every=6_000,
        workers=12,
    )


def ddrnet23_slim_cityscapes() -> Recipe:
    """DDRNet-23-slim with OHEM and its auxiliary head.

    Data: Cityscapes
    Schedule: the paper
    Published: 77.8 % mIoU, from ImageNet weights (ydhongHIT/DDRNet)
    Ours: not measured here

    hardedge train ddrnet23_slim_cityscapes --data DIR --out runs/ddrnet --backbone-weights FILE
    """
    return replace(
        pidnet_s_cityscapes(),
        name="ddrnet23_slim_cityscapes",
        network="ddrnet23_slim",
        loss=parse_loss("ohem(threshold=0.9, min_kept=0.0208)"),
        auxiliary_loss=parse_loss("ohem(threshold=0.9, min_kept=0.0208)"),
        branches=(),
        scale=(0.5, 2.0),
    )


def stdc1_cityscapes() -> Recipe:
    """STDC1 with OHEM on all its heads and its detail head.

    Data: Cityscapes
    Schedule: the release
    Published: 74.50 % mIoU at 768x1536, from ImageNet weights (MichaelFan01/STDC-Seg)
    Ours: not measured here

    hardedge train stdc1_cityscapes --data DIR --out runs/stdc --backbone-weights FILE
    """
    return Recipe(
        name="stdc1_cityscapes",
        network="stdc1",
        loss=STDC_LOSS,
        branches=(DetailBranch(),),
        auxiliary=True,
        auxiliary_weight=1.0,
        auxiliary_loss=OHEM,
        optimiser="sgd",
        learning_rate=0.01,
        weight_decay=5e-4,
        warm_up=1_000,
        steps=60_000,
        batch=48,
        crop=(512, 1024),
        scale=(0.125, 1.5),
        brightness=0.5,
        contrast=0.5,
        saturation=0.5,
        evaluate_every=6_000,
        workers=12,
    )


def ppliteseg_t_cityscapes() -> Recipe:
    """PP-LiteSeg-T with OHEM on all its heads.

    Data: Cityscapes
    Schedule: PaddleSeg's configuration
    Published: 73.10 % mIoU at 512x1024, from ImageNet weights (PaddleSeg; its heads read other maps)
    Ours: not measured here

    hardedge train ppliteseg_t_cityscapes --data DIR --out runs/ppliteseg --backbone-weights FILE
    """
    return replace(
        stdc1_cityscapes(),
        name="ppliteseg_t_cityscapes",
        network="ppliteseg_t",
        loss=OHEM,
        branches=(),
        learning_rate=0.005,
        steps=160_000,
        batch=16,
        evaluate_every=16_000,
    )


def fast_scnn_cityscapes() -> Recipe:
    """Fast-SCNN with OHEM and its auxiliary head.

    Data: Cityscapes
    Schedule: the PyTorch release, with batches of 12
    Published: 54.84 % mIoU (Tramac/Fast-SCNN-pytorch, batches of 2); 68.0 % on the test set (the paper)
    Ours: not measured here

    hardedge train fast_scnn_cityscapes --data DIR --out runs/fast_scnn
    """
    return Recipe(
        name="fast_scnn_cityscapes",
        network="fast_scnn",
        loss=OHEM,
        auxiliary=True,
        auxiliary_loss=OHEM,
        optimiser="sgd",
        learning_rate=0.01,
        weight_decay=1e-4,
        steps=39_600,
        batch=12,
        crop=(768, 768),
        evaluate_every=3_960,
        workers=12,
    )


def pidnet_s_camvid() -> Recipe:
    """PIDNet-S from scratch with its P and D heads and their losses, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train pidnet_s_camvid --data DIR --out runs/pidnet
    """
    return replace(
        camvid(),
        name="pidnet_s_camvid",
        network="pidnet_s",
        loss=PIDNET_LOSS,
        branches=(BoundaryBranch(),),
        auxiliary=True,
    )


def stdc1_camvid() -> Recipe:
    """STDC1 from scratch with its detail and auxiliary heads and their losses, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train stdc1_camvid --data DIR --out runs/stdc
    """
    return replace(
        camvid(),
        name="stdc1_camvid",
        network="stdc1",
        loss=STDC_LOSS,
        branches=(DetailBranch(),),
        auxiliary=True,
        auxiliary_weight=1.0,
        auxiliary_loss=OHEM,
    )


def ppliteseg_t_camvid() -> Recipe:
    """PP-LiteSeg-T from scratch with OHEM on all its heads, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train ppliteseg_t_camvid --data DIR --out runs/ppliteseg
    """
    return replace(stdc1_camvid(), name="ppliteseg_t_camvid", network="ppliteseg_t", loss=OHEM, branches=())


def ddrnet23_slim_camvid() -> Recipe:
    """DDRNet-23-slim from scratch with OHEM and its auxiliary head, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train ddrnet23_slim_camvid --data DIR --out runs/ddrnet
    """
    return replace(ppliteseg_t_camvid(), name="ddrnet23_slim_camvid", network="ddrnet23_slim", auxiliary_weight=0.4)


def fast_scnn_camvid() -> Recipe:
    """Fast-SCNN from scratch with OHEM and its auxiliary head, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train fast_scnn_camvid --data DIR --out runs/fast_scnn
    """
    return replace(ddrnet23_slim_camvid(), name="fast_scnn_camvid", network="fast_scnn")


def efficientvit_b0_camvid() -> Recipe:
    """EfficientViT-B0 under the light decoder from scratch with recall weights and a boundary head, for two CPU cores.

    Data: CamVid
    Schedule: our own
    Published: none
    Ours: not measured here

    hardedge train efficientvit_b0_camvid --data DIR --out runs/efficientvit
    """
    return replace(
        camvid(),
        name="efficientvit_b0_camvid",
        network="efficientvit_b0",
        loss=parse_loss("recall + boundary"),
        branches=(BoundaryBranch(),),
    )
