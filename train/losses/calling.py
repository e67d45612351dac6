"""How every loss and every sum is called, and what it says of outputs and a target that it cannot take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from hardedge.errors import BadInput

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Takes(Protocol):
    """A loss or a sum: the outputs that it cannot do without, and those that it uses where they are given."""

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def accepts(self) -> tuple[str, ...]: ...


def named_outputs(loss: Takes, outputs: Mapping[str, Any] | Tensor, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Logits or a mapping of outputs, and what came by keyword, as one mapping of what the loss takes.

    Raises BadInput when something that it needs is missing, and for a keyword that it does not take.
    """
    given = {**(outputs if isinstance(outputs, Mapping) else {"logits": outputs}), **beside}
    taken = (*loss.needs, *loss.accepts)
    missing, unknown = (
        [need for need in loss.needs if need not in given],
        [name for name in beside if name not in taken],
    )
    if missing:
        raise BadInput(
            f'loss "{loss}" needs {", ".join(missing)}, but the network gives {", ".join(given)}. '
            "Add the branch to the recipe, or change the loss."
        )
    if unknown:
        raise BadInput(f'loss "{loss}" does not take {", ".join(unknown)}. It takes: {", ".join(taken)}.')
    return {name: given[name] for name in taken if name in given}


def class_indices(name: str, outputs: Mapping[str, Any], target_BHW: Tensor, ignored: Sequence[int]) -> Tensor:
    """The target as int64 [B, H, W], of class indices and the ignore indices alone.

    Raises BadInput for another type or shape, and on the CPU for other values, which it names. On a GPU the host would
    wait for them in every step: there the device checks, and ends the program with an assertion.
    """
    logits_BCHW: Tensor = outputs["logits"]
    if not torch.is_tensor(target_BHW) or not torch.is_tensor(logits_BCHW):
        found = f"{type(logits_BCHW).__name__} and {type(target_BHW).__name__}"
        raise BadInput(f"loss {name}: logits and target are {found}. Give tensors (torch.as_tensor makes them).")
    shape, target = tuple(logits_BCHW.shape), tuple(target_BHW.shape)
    fits = len(shape) == 4 and len(target) == 3 and shape[0] == target[0]
    if not fits or target_BHW.dtype not in INTEGERS or not logits_BCHW.is_floating_point():
        raise BadInput(
            f"loss {name}: logits {logits_BCHW.dtype} {shape} and target {target_BHW.dtype} {target}, expected logits "
            "[B, C, H, W] of floating point and a target [B, H, W] of class indices: integers, without a channel."
        )
    if target_BHW.device != logits_BCHW.device:
        raise BadInput(
            f"loss {name}: logits on {logits_BCHW.device}, target on {target_BHW.device}. Move one to the other."
        )
    for other, value in outputs.items():
        if torch.is_tensor(value) and (not value.ndim or len(value) != shape[0]):
            raise BadInput(f"loss {name}: {other} {tuple(value.shape)} for logits {shape}. Give one for each image.")
    target_BHW = target_BHW.long()
    if not torch.compiler.is_compiling():
        for index in dict.fromkeys(ignored):
            _require_classes(name, target_BHW, shape[1], index)
    return target_BHW


def _require_classes(name: str, target_BHW: Tensor, classes: int, ignore_index: int) -> None:
    wrong_BHW = (target_BHW < 0) | (target_BHW >= classes)
    if target_BHW.device.type != "cpu":
        allowed = f"a class of the logits (0-{classes - 1}) or the ignore index {ignore_index}"
        torch._assert_async(
            ~(wrong_BHW & (target_BHW != ignore_index)).any(),
            f"loss {name}: a target value is not {allowed}. On the CPU the loss names it.",
        )
    elif wrong_BHW.any() and (wrong_BHW := wrong_BHW & (target_BHW != ignore_index)).any():
        found = ", ".join(map(str, sorted(set(target_BHW[wrong_BHW].tolist()))[:5]))
        raise BadInput(
            f"loss {name}: target values {found}, but the logits have {classes} classes (0-{classes - 1}) and the "
            f"ignore index is {ignore_index}. Correct the labels, or set ignore_index."
        )
