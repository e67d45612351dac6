"""How released code and libraries name a network's tensors, and which of them are for training only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hardedge.errors import BadInput

Tensors = Mapping[str, Tensor]

COUNTER = "num_batches_tracked"  # files of old libraries are without it
# what a wrapper of network and losses keeps beside the network
LOSSES = ("criterion.*", "criteria.*", "loss.*", "loss_fn.*", "losses.*", "sem_loss.*", "bd_loss.*")


@dataclass(frozen=True)
class Layout:
    """One way of naming a network's tensors.

    `networks` are those it is for, by the start of their names. `training_only` and `unused` are patterns of names
    beside the network's own: parts that training needs, and parts that segmentation never calls. `convert` makes the
    network's tensors of the file's.
    """

    title: str
    networks: tuple[str, ...]
    training_only: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    convert: Callable[[Tensors], dict[str, Tensor]] = dict


def with_plain_norms(tensors: Tensors) -> dict[str, Tensor]:
    """STDC's release: its heads' BatchNorms are in place, their scale is |weight| + 1e-5; each stage is there twice.

    Raises BadInput when the copies of a stage differ.
    """
    _require_copies(tensors)
    in_place = {
        name.removesuffix("running_var") + "weight"
        for name in tensors
        if name.endswith("running_var") and not name.startswith("cp.backbone.")
    }
    counted = {name.removesuffix(COUNTER) + "weight" for name in tensors if name.endswith(COUNTER)}
    # those that count batches are torch's own
    return {
        name: tensor.abs() + 1e-5 if name in in_place - counted and counted else tensor
        for name, tensor in tensors.items()
    }


STARTS = {"stdc1": (0, 1, 2, 4, 6), "stdc2": (0, 1, 2, 6, 11)}


def _require_copies(tensors: Tensors) -> None:
    depth = max((int(name.split(".")[3]) for name in tensors if name.startswith("cp.backbone.features.")), default=0)
    starts = STARTS["stdc2" if depth > 7 else "stdc1"]
    for stage, start in zip(("x2", "x4", "x8", "x16", "x32"), starts, strict=True):
        under = f"cp.backbone.{stage}.0."
        for name in tensors:
            if name.startswith(under):
                place, _, rest = name.removeprefix(under).partition(".")
                other = f"cp.backbone.features.{start + int(place)}.{rest}"
                if other in tensors and not torch.equal(tensors[name], tensors[other]):
                    raise BadInput(f"{name} and {other} should be the same tensor, and differ. Give the released file.")


LAYOUTS = (
    Layout("XuJiacong/PIDNet", ("pidnet_",), training_only=("seghead_p.*", "seghead_d.*")),
    Layout(
        "MichaelFan01/STDC-Seg",
        ("stdc",),
        training_only=("conv_out16.*", "conv_out32.*", "conv_out_sp*"),
        unused=(
            *(f"cp.backbone.x{stride}.*" for stride in (2, 4, 8, 16, 32)),
            *(f"cp.backbone.{part}.*" for part in ("conv_last", "fc", "bn", "linear")),
        ),
        convert=with_plain_norms,
    ),
    Layout("ydhongHIT/DDRNet", ("ddrnet23",), training_only=("seghead_extra.*",), unused=("linear.*",)),
    Layout("Deci-AI/super-gradients", ("ppliteseg_",), training_only=("aux_heads.*",)),
    Layout("Tramac/Fast-SCNN-pytorch", ("fast_scnn",), training_only=("auxlayer.*",)),
    Layout("open-mmlab/mmsegmentation", ("mmseg_",), training_only=("auxiliary_head.*", "weigh_head.*", "loss_*")),
    Layout(
        "CoinCheung/BiSeNet",
        ("bisenetv2_coincheung",),
        training_only=("aux2.*", "aux3.*", "aux4.*", "aux5_4.*"),
    ),
    Layout(
        "torchvision",
        ("deeplabv3_resnet50", "deeplabv3_resnet101", "lraspp_mobilenet_v3_large"),
        training_only=("aux_classifier.*",),
    ),
    Layout(
        "segmentation-models-pytorch",
        ("deeplabv3", "deeplabv3plus_", "pspnet_", "upernet_", "fpn_", "segformer_"),
        training_only=("classification_head.*",),
    ),
)
OWN = Layout("hardedge", ())


def layout_for(network: str) -> Layout:
    """The layout of the released weights of a network; hardedge's own where there are none."""
    return next((layout for layout in LAYOUTS if network.startswith(layout.networks)), OWN)
