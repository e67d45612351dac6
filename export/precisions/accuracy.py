"""A converted file in onnxruntime against the FP32 network: logits, masks, and mIoU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from hardedge.console import progress_bar
from hardedge.contracts import ConversionAgreement
from hardedge.data.dataset import Dataset
from hardedge.data.decoding import Pixels, read_mask
from hardedge.errors import BadInput, first_line
from hardedge.graphs.files import open_session
from hardedge.graphs.probes import PROBE, logits_form
from hardedge.graphs.rounding import rounded_form
from hardedge.metrics import Counts, confusion_counts
from hardedge.precisions import precision_named
from hardedge.statistics.non_inferiority import miou_difference

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PrecisionReference:
    """The FP32 arm: its model, the golden images, the reference masks' folder, and the test images to compare."""

    model: onnx.ModelProto
    golden: Sequence[Pixels]
    dataset: Dataset
    masks: Path
    ids: tuple[str, ...]


@dataclass(frozen=True)
class _Logits:
    difference: float
    rms: float
    largest: float


def measure_agreement(model: onnx.ModelProto, precision: str, reference: PrecisionReference) -> ConversionAgreement:
    """Runs a converted model beside FP32; raises BadInput when onnxruntime refuses it or a logit is not finite."""
    form = rounded_form(model)
    logits = _compare_logits(form, precision, reference)
    target_NCC, reference_NCC, agreement = _compare_masks(form, precision, reference)
    known = precision_named(precision)
    found = miou_difference(reference_NCC, target_NCC, known.margin)
    return ConversionAgreement(
        arithmetic=known.arithmetic,
        logit_difference=logits.difference,
        logit_rms=logits.rms,
        logit_largest=logits.largest,
        images=len(reference.ids),
        pixel_agreement=agreement,
        miou_reference=found.miou_reference,
        miou=found.miou,
        difference=found.difference,
        interval=found.interval,
        margin=known.margin,
        status=found.status,
    )


def _compare_logits(form: onnx.ModelProto, precision: str, reference: PrecisionReference) -> _Logits:
    ours, theirs = (
        session_for(logits_form(form), precision),
        session_for(logits_form(reference.model), "fp32"),
    )
    largest, differences, squares = 0.0, [], []
    for image_HWC in reference.golden:
        logits_CHW, exact_CHW = (session.run([PROBE], {"image": image_HWC[None]})[0][0] for session in (ours, theirs))
        if not np.isfinite(logits_CHW).all():
            raise BadInput(
                f"{precision}: the converted network's logits are not finite: its values do not fit. "
                "Leave this precision out."
            )
        error_CHW: Floats = logits_CHW - exact_CHW
        differences.append(float(np.abs(error_CHW).max()))
        squares.append(float(np.square(error_CHW, dtype=np.float64).mean()))
        largest = max(largest, float(np.abs(exact_CHW).max()))
    return _Logits(max(differences), float(np.sqrt(np.mean(squares))), largest)


def _compare_masks(
    form: onnx.ModelProto, precision: str, reference: PrecisionReference
) -> tuple[Counts, Counts, float]:
    session, task = session_for(form, precision), reference.dataset.task
    target, exact = [], []
    equal = pixels = 0
    for id in progress_bar(reference.ids, f"{precision} against FP32"):
        image_HWC, label_HW = reference.dataset.pair(id)
        (mask_BHW,) = session.run(["mask"], {"image": image_HWC[None]})
        reference_HW = read_mask(reference.masks / f"{id}.png")
        target.append(confusion_counts(mask_BHW[0], label_HW, task.num_classes, task.ignore_index))
        exact.append(confusion_counts(reference_HW, label_HW, task.num_classes, task.ignore_index))
        equal += int(np.count_nonzero(mask_BHW[0] == reference_HW))
        pixels += reference_HW.size
    return np.stack(target), np.stack(exact), equal / pixels


def session_for(model: onnx.ModelProto, precision: str) -> onnxruntime.InferenceSession:
    """A rounded form in onnxruntime; raises BadInput naming the precision when it is refused."""
    try:
        session: onnxruntime.InferenceSession = open_session(model, fused=False)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise BadInput(
            f"{precision}: onnxruntime refused the converted network ({first_line(error)}). Leave this precision out."
        ) from None
    return session
